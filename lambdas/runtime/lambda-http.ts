import type { APIGatewayProxyEvent, APIGatewayProxyResult } from 'aws-lambda';
import type { HttpApi, RawRequest } from './http.ts';

/** Answers the proxy events of an API Gateway REST API, which has matched method and path already. */
export function lambdaHttpHandler(api: HttpApi): (event: APIGatewayProxyEvent) => Promise<APIGatewayProxyResult> {
  return async (event) => {
    const { status, headers, body } = await api(toRawRequest(event));
    return { statusCode: status, headers: { ...headers }, body };
  };
}

function toRawRequest(event: APIGatewayProxyEvent): RawRequest {
  const body = event.body ?? '';
  return {
    method: event.httpMethod,
    path: event.resource,
    params: withoutUndefined(event.pathParameters),
    query: withoutUndefined(event.multiValueQueryStringParameters),
    headers: Object.fromEntries(
      Object.entries(event.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
    ),
    hasBodyBytes: body !== '',
    readBody: async () => (event.isBase64Encoded ? Buffer.from(body, 'base64') : body),
    requestId: event.requestContext.requestId,
  };
}

/** API Gateway sends null in place of an empty map. */
function withoutUndefined<T>(map: Readonly<Record<string, T | undefined>> | null): Record<string, T> {
  return Object.fromEntries(Object.entries(map ?? {}).filter((entry): entry is [string, T] => entry[1] !== undefined));
}
