import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { LambdaFunctionURLEvent, LambdaFunctionURLResult } from 'aws-lambda';
import { DynamoTable } from '../../../platform/aws/dynamo-table.ts';
import { MarketplaceSandbox } from './sandbox.ts';

const sandbox = new MarketplaceSandbox(
  new DynamoTable({ client: new DynamoDBClient(), tableName: process.env.SANDBOX_TABLE ?? '' }),
);

/** LocalStack 4.14 loses the form of a PATCH; by its length it is the only one that is sent. */
const LOST_FORM = 'state=active';

function bodyOf({ body, isBase64Encoded, headers }: LambdaFunctionURLEvent): Uint8Array<ArrayBuffer> {
  const lost = body === undefined && headers['content-length'] === String(LOST_FORM.length);
  return new Uint8Array(Buffer.from(lost ? LOST_FORM : (body ?? ''), isBase64Encoded ? 'base64' : 'utf8'));
}

/** The sandbox behind a function URL, where it can't drop a connection: a gateway's 502 stands for that. */
export async function handler(event: LambdaFunctionURLEvent): Promise<LambdaFunctionURLResult> {
  const outcome = await sandbox.handle({
    method: event.requestContext.http.method,
    path: event.rawPath,
    query: new URLSearchParams(event.rawQueryString),
    headers: Object.fromEntries(Object.entries(event.headers).map(([name, value]) => [name.toLowerCase(), value])),
    body: bodyOf(event),
  });
  if (outcome === 'drop') return { statusCode: 502, body: '' };
  const { status, headers = {}, body } = outcome;
  return {
    statusCode: status,
    headers: { 'content-type': 'application/json', ...headers },
    body: body === undefined ? '' : JSON.stringify(body),
  };
}
