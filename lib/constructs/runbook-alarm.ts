import { Alarm, type AlarmProps, ComparisonOperator, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { Topic } from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';
import type { Settings } from '../settings.ts';

interface RunbookAlarmProps extends Omit<AlarmProps, 'alarmName' | 'alarmDescription'> {
  readonly settings: Settings;
  /** The anchor of its heading in docs/runbook.md. */
  readonly heading: string;
  /** Of the alarm, where several alarms have one heading; the heading when left out. */
  readonly name?: string;
  /** What has happened, in a sentence. */
  readonly says: string;
}

/** An alarm that says where the runbook tells what to do. It goes off at or above its threshold; no data is no alarm. */
export class RunbookAlarm extends Alarm {
  constructor(scope: Construct, id: string, { settings, heading, name = heading, says, ...props }: RunbookAlarmProps) {
    super(scope, id, {
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      treatMissingData: TreatMissingData.NOT_BREACHING,
      ...props,
      alarmName: `${settings.prefix}-${name}`,
      alarmDescription: `${says} What to do: docs/runbook.md#${heading}`,
    });
    if (!settings.alarmTopicArn) return;
    const tell = new SnsAction(Topic.fromTopicArn(this, 'Topic', settings.alarmTopicArn));
    this.addAlarmAction(tell);
    this.addOkAction(tell);
  }
}
