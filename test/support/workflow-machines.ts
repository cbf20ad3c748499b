type State = Readonly<Record<string, unknown>>;

const onward = (more: State) => ('Next' in more ? more : { End: true, ...more });

/** A Task state that gives the execution's input to the test worker. */
export function taskState(more: State = {}) {
  return {
    Type: 'Task',
    Resource: 'arn:aws:states:::lambda:invoke',
    Parameters: { FunctionName: 'worker', 'Payload.$': '$' },
    OutputPath: '$.Payload',
    TimeoutSeconds: 20,
    ...onward(more),
  };
}

/** A Task state that waits for its token, and gives it to the test worker. */
export function waitingState(more: State = {}) {
  return {
    ...taskState({ ...more }),
    Resource: 'arn:aws:states:::lambda:invoke.waitForTaskToken',
    Parameters: {
      FunctionName: 'worker',
      Payload: { 'token.$': '$$.Task.Token', 'do.$': '$.do', name: 'InputDataError' },
    },
    OutputPath: '$',
  };
}

export function machine(states: Readonly<Record<string, State>>, more: State = {}) {
  return { StartAt: Object.keys(states)[0], States: states, ...more };
}

/** A Map state that gives each of `$.items` to `states`, with the input's `order`. */
export function mapState(
  maxConcurrency: number,
  states: Readonly<Record<string, State>> = { Work: taskState() },
  more: State = {},
) {
  return {
    Type: 'Map',
    ItemsPath: '$.items',
    ItemSelector: {
      'item.$': '$$.Map.Item.Value',
      'do.$': '$.order.do',
      'ms.$': '$.order.ms',
      'failItem.$': '$.order.failItem',
      'name.$': '$.order.name',
    },
    MaxConcurrency: maxConcurrency,
    ItemProcessor: { ProcessorConfig: { Mode: 'INLINE' }, ...machine(states) },
    ...onward(more),
  };
}

/** Machines without tasks, for every platform. */
export const TASKLESS = {
  shape: machine({
    Choose: {
      Type: 'Choice',
      Choices: [{ Variable: '$.kind', StringEquals: 'list', Next: 'Each' }],
      Default: 'Refuse',
    },
    Each: {
      Type: 'Map',
      ItemsPath: '$.items',
      ItemSelector: { 'value.$': '$$.Map.Item.Value', 'index.$': '$$.Map.Item.Index', 'kind.$': '$.kind' },
      MaxConcurrency: 2,
      ItemProcessor: machine({ Keep: { Type: 'Pass', ResultPath: '$.seen', Result: true, End: true } }),
      ResultPath: '$.results',
      Next: 'Both',
    },
    Both: {
      Type: 'Parallel',
      Branches: [
        machine({ Left: { Type: 'Pass', OutputPath: '$.results', End: true } }),
        machine({ Right: { Type: 'Pass', Parameters: { 'count.$': 'States.ArrayLength($.items)' }, End: true } }),
      ],
      End: true,
    },
    Refuse: { Type: 'Fail', Error: 'InputDataError', Cause: 'not a list' },
  }),
  patient: machine({ WaitLong: { Type: 'Wait', Seconds: 60, End: true } }),
  hurried: machine({ WaitLong: { Type: 'Wait', Seconds: 60, End: true } }, { TimeoutSeconds: 1 }),
  caught: machine({
    Each: {
      Type: 'Map',
      ItemsPath: '$.items',
      ItemProcessor: machine({ Refuse: { Type: 'Fail', Error: 'TaskBusyError', Cause: 'busy' } }),
      Catch: [
        { ErrorEquals: ['InputDataError'], Next: 'Wrong' },
        { ErrorEquals: ['TaskBusyError'], ResultPath: '$.error', Next: 'Mend' },
      ],
      End: true,
    },
    Mend: { Type: 'Pass', OutputPath: '$.error', End: true },
    Wrong: { Type: 'Fail', Error: 'WrongCatch', Cause: '' },
  }),
};
