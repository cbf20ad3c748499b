import { Duration } from 'aws-cdk-lib';
import type { Table } from 'aws-cdk-lib/aws-dynamodb';
import { FilterCriteria, FilterRule, StartingPosition } from 'aws-cdk-lib/aws-lambda';
import { DynamoEventSource, SqsDlq } from 'aws-cdk-lib/aws-lambda-event-sources';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import type { NodeFunction } from './node-function.ts';

/** Sends the changes of a table's items whose sort keys begin with one of `prefixes` to a function. */
export function feedChanges(props: {
  table: Table;
  consumer: NodeFunction;
  deadLetters: IQueue;
  prefixes: readonly string[];
}): void {
  const sk = { S: props.prefixes.flatMap((prefix) => FilterRule.beginsWith(prefix)) };
  props.consumer.addEventSource(
    new DynamoEventSource(props.table, {
      startingPosition: StartingPosition.TRIM_HORIZON,
      batchSize: 100,
      filters: [FilterCriteria.filter({ dynamodb: { Keys: { sk } } })],
      reportBatchItemFailures: true,
      bisectBatchOnError: true,
      // A change that can't be consumed holds up its shard: it goes to the queue soon, and reconcile or sweep do its work.
      retryAttempts: 10,
      maxRecordAge: Duration.hours(1),
      onFailure: new SqsDlq(props.deadLetters),
    }),
  );
}
