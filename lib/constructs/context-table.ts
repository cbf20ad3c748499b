import {
  AttributeType,
  BillingMode,
  ProjectionType,
  StreamViewType,
  Table,
  TableEncryption,
} from 'aws-cdk-lib/aws-dynamodb';
import { type IRole, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { removalPolicyOf, type Settings } from '../settings.ts';
import { allowKey, dataKeyOf } from './data-key.ts';

const READ = ['dynamodb:GetItem', 'dynamodb:Query'];
const WRITE = [
  'dynamodb:PutItem',
  'dynamodb:UpdateItem',
  'dynamodb:DeleteItem',
  'dynamodb:BatchWriteItem',
  'dynamodb:ConditionCheckItem',
];
const INDEXES = ['g1', 'g2'] as const;
/** Names of tables and indexes have at least 3 characters. */
const indexName = (index: (typeof INDEXES)[number]) => `${index}-index`;

/** The one table of a context: keys `pk` and `sk`, indexes `g1` and `g2`, `ttl`, and a stream of changes. */
export class ContextTable extends Construct {
  readonly table: Table;

  constructor(scope: Construct, id: string, settings: Settings) {
    super(scope, id);
    const encryptionKey = dataKeyOf(this, 'Key', settings);
    const text = (name: string) => ({ name, type: AttributeType.STRING });
    this.table = new Table(this, 'Table', {
      partitionKey: text('pk'),
      sortKey: text('sk'),
      billingMode: BillingMode.PAY_PER_REQUEST,
      stream: StreamViewType.NEW_AND_OLD_IMAGES,
      timeToLiveAttribute: 'ttl',
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      ...(encryptionKey ? { encryptionKey } : { encryption: TableEncryption.AWS_MANAGED }),
      deletionProtection: settings.keepData,
      removalPolicy: removalPolicyOf(settings),
    });
    for (const index of INDEXES) {
      this.table.addGlobalSecondaryIndex({
        indexName: indexName(index),
        partitionKey: text(`${index}pk`),
        sortKey: text(`${index}sk`),
        projectionType: ProjectionType.ALL,
      });
    }
  }

  allowRead(role: IRole): void {
    this.allow(role, READ);
  }

  allowReadAndWrite(role: IRole): void {
    this.allow(role, [...READ, ...WRITE]);
  }

  allow(role: IRole, actions: readonly string[]): void {
    const indexes = INDEXES.map((index) => `${this.table.tableArn}/index/${indexName(index)}`);
    role.addToPrincipalPolicy(
      new PolicyStatement({ actions: [...actions], resources: [this.table.tableArn, ...indexes] }),
    );
    allowKey(role, this.table.encryptionKey);
  }
}
