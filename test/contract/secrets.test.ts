import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { SecretsManagerSecrets } from '../../platform/aws/secrets-manager-secrets.ts';
import { FileSecrets } from '../../platform/embedded/file-secrets.ts';
import type { Secrets } from '../../platform/ports/secrets.ts';

interface Platform {
  /** Reads the secret that is stored as `acme/deployed` under the name `root`. */
  readonly reader: (text: string) => Secrets;
  readonly secrets: Secrets;
  /** Opened anew, as another process does. */
  readonly elsewhere: Secrets;
  close(): void;
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'secrets-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function promises(platform: string, open: () => Platform) {
  describe(`secrets on ${platform}`, () => {
    let world: Platform;
    beforeAll(() => {
      world = open();
    });
    afterAll(() => world.close());

    const newName = () => `acme/accounts/${randomUUID()}`;

    it('keeps a text, replaces it, and forgets it', async () => {
      const { secrets, elsewhere } = world;
      const name = newName();
      expect(await secrets.get(name)).toBeUndefined();
      await secrets.put(name, 'first');
      expect(await elsewhere.get(name)).toBe('first');
      await elsewhere.put(name, '{"token":"zwei – 2"}');
      expect(await secrets.get(name)).toBe('{"token":"zwei – 2"}');
      await secrets.delete(name);
      expect(await elsewhere.get(name)).toBeUndefined();
    });

    it('reads a secret that the deployment created by its name, and refuses to change it', async () => {
      await world.secrets.put('acme/deployed', 'random');
      const reader = world.reader('random');
      expect(await reader.get('root')).toBe('random');
      await expect(reader.put('root', 'other')).rejects.toThrow("is the deployment's");
      await expect(reader.delete('root')).rejects.toThrow("is the deployment's");
      expect(await reader.get('root')).toBe('random');
      expect(await world.elsewhere.get('root')).toBeUndefined();
    });

    it('takes the deletion of one that never was', async () => {
      await expect(world.secrets.delete(newName())).resolves.toBeUndefined();
    });

    it('keeps names apart', async () => {
      const name = newName();
      const names = [name, `${name}/a`, `${name}-a`, `${name}_a`, `${name}/A`];
      await Promise.all(names.map((each) => world.secrets.put(each, each)));
      expect(await Promise.all(names.map((each) => world.elsewhere.get(each)))).toEqual(names);
      await Promise.all(names.map((each) => world.secrets.delete(each)));
    });

    it('has one of the texts, whole, when several are written at once', async () => {
      const name = newName();
      const texts = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(60_000));
      const writers = [world.secrets, world.elsewhere];
      await Promise.all(texts.map((text, at) => writers[at % 2]?.put(name, text)));
      expect(texts).toContain(await world.secrets.get(name));
      await world.secrets.delete(name);
    });

    it('takes the longest text and refuses what breaks the bounds, without telling it', async () => {
      const name = newName();
      await world.secrets.put(name, 'x'.repeat(65_536));
      expect(await world.secrets.get(name)).toHaveLength(65_536);
      for (const text of ['', 'x'.repeat(65_537), '\ud800'])
        await expect(world.secrets.put(name, text)).rejects.toThrow('well-formed text');
      for (const wrong of ['', 'a b', '../a', 'a.b', 'a'.repeat(201)]) {
        await expect(world.secrets.get(wrong)).rejects.toThrow('not a name');
        await expect(world.secrets.put(wrong, 'x')).rejects.toThrow('not a name');
        await expect(world.secrets.delete(wrong)).rejects.toThrow('not a name');
      }
      await world.secrets.delete(name);
    });
  });
}

promises('embedded', () => {
  const folder = mkdtempSync(join(tmpdir(), 'secrets-'));
  const open = (deployed = {}) => new FileSecrets({ folder: join(folder, 'secrets'), deployed });
  const reader = (root: string) => open({ root });
  return { reader, secrets: open(), elsewhere: open(), close: () => rmSync(folder, { recursive: true }) };
});

it('are files that only their owner reads, and nothing is left of the ones before', async () => {
  const folder = join(newFolder(), 'secrets');
  const secrets = new FileSecrets({ folder });
  await secrets.put('acme/a', 'first');
  await secrets.put('acme/a', 'second');
  const files = readdirSync(folder);
  expect(files).toHaveLength(1);
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  expect(statSync(join(folder, files[0] ?? '')).mode & 0o777).toBe(0o600);
});

const endpoint = process.env.LOCALSTACK_ENDPOINT;
if (endpoint) {
  promises('AWS', () => {
    const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
    const client = new SecretsManagerClient({ endpoint, region: 'us-east-1', credentials });
    const prefix = `contract-${randomUUID().slice(0, 8)}/`;
    const open = (deployed = {}) => new SecretsManagerSecrets({ client, prefix, deployed });
    const reader = () => open({ root: `${prefix}acme/deployed` });
    return { reader, secrets: open(), elsewhere: open(), close: () => client.destroy() };
  });
}
