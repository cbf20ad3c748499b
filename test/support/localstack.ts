import { LocalstackContainer } from '@testcontainers/localstack';
import { getContainerRuntimeClient, getReaper } from 'testcontainers';

const IMAGE = 'localstack/localstack:4.14.0';

// DynamoDB's stream tells the changes of an item in order. LocalStack hands them to the stream by ten threads at once.
const STREAMS_IN_ORDER = `
from localstack.services.dynamodb.provider import EventForwarder
EventForwarder.__init__.__defaults__ = (1,)
`;

export interface LocalStack {
  /** Such as `http://127.0.0.1:32768`. */
  readonly endpoint: string;
  /** Removes the container and those of its Lambdas. */
  stop(): Promise<void>;
  /** Does the same from a shell, when this process has gone. */
  readonly stopCommand: string;
}

/** Starts a LocalStack in Docker, empty. */
export async function startLocalStack(): Promise<LocalStack> {
  // LocalStack's containers are removed below; the reaper would be one more image.
  process.env.TESTCONTAINERS_RYUK_DISABLED = 'true';
  const docker = await findDocker();
  // The containers that LocalStack starts for Lambdas carry it too.
  const label = `org.testcontainers.session-id=${(await getReaper(docker)).sessionId}`;
  const container = await new LocalstackContainer(IMAGE)
    .withCopyContentToContainer([
      { content: STREAMS_IN_ORDER, target: '/etc/localstack/init/start.d/streams-in-order.py' },
    ])
    .withBindMounts([{ source: '/var/run/docker.sock', target: '/var/run/docker.sock' }])
    .withEnvironment({
      LOCALSTACK_HOST: 'localhost.localstack.cloud',
      // Above 0, stream records of a table's first half second are lost.
      KINESIS_LATENCY: '0',
      // Presigned URLs are checked.
      S3_SKIP_SIGNATURE_VALIDATION: '0',
      // A function is called when it is ready, and its container is kept: the tests call all of them.
      LAMBDA_KEEPALIVE_MS: '1200000',
      // Where cores are few, many containers that start at once take a minute; one that is late fails its execution.
      LAMBDA_RUNTIME_ENVIRONMENT_TIMEOUT: '300',
    })
    .start();
  return {
    endpoint: `http://127.0.0.1:${container.getPort()}`,
    stopCommand: `docker rm -fv $(docker ps -aq --filter label=${label})`,
    async stop() {
      await container.stop();
      const engine = docker.container.dockerode;
      const left = await engine.listContainers({ all: true, filters: { label: [label] } });
      await Promise.all(
        left.map(({ Id }) => engine.getContainer(Id).remove({ force: true, v: true }).catch(unlessGone)),
      );
    },
  };
}

/** LocalStack removes its Lambdas' containers as well when it ends: they are gone (404), or going (409). */
function unlessGone(error: { statusCode?: number }): void {
  if (error.statusCode !== 404 && error.statusCode !== 409) throw error;
}

async function findDocker() {
  try {
    return await getContainerRuntimeClient();
  } catch (error) {
    throw new Error(
      'LocalStack needs Docker, and none answers: start Docker (`docker info` must work for this user), or set LOCALSTACK_ENDPOINT to a LocalStack that runs.',
      { cause: error },
    );
  }
}
