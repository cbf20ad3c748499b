import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { combineCrc64Nvme, crc64Nvme, createCrc64Nvme } from '../../contract/crc64nvme.ts';
import { TIB } from '../../contract/limits.ts';

const bytes = fc.uint8Array({ maxLength: 3_000 });

describe('CRC64NVME', () => {
  it('has the published check value, as hexadecimal and as S3 writes it', async () => {
    const hash = await createCrc64Nvme();
    hash.update(new TextEncoder().encode('1234'));
    hash.update(new TextEncoder().encode('56789'));
    expect(hash.digestHex()).toBe('ae8b14860a799888');
    expect(hash.digestBase64()).toBe('rosUhgp5mIg=');
  });

  it('is zero for no bytes', async () => {
    expect((await createCrc64Nvme()).digestHex()).toBe('0000000000000000');
    expect(await crc64Nvme(new Uint8Array())).toBe('AAAAAAAAAAA=');
  });

  it('is the same however the bytes are cut, with many hashes at work at once and digests in between', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(bytes, { maxLength: 8 }), async (pieces) => {
        const [hash, other] = [await createCrc64Nvme(), await createCrc64Nvme()];
        for (const piece of pieces) {
          hash.update(piece);
          other.update(new Uint8Array([1, 2, 3]));
          hash.digestHex();
        }
        expect(hash.digestBase64()).toBe(await crc64Nvme(Buffer.concat(pieces)));
      }),
    );
  });
});

describe('combining CRC64NVMEs', () => {
  it('gives that of the bytes one after another', async () => {
    await fc.assert(
      fc.asyncProperty(bytes, bytes, async (a, b) => {
        const combined = combineCrc64Nvme(await crc64Nvme(a), await crc64Nvme(b), b.length);
        expect(combined).toBe(await crc64Nvme(Buffer.concat([a, b])));
      }),
    );
  });

  it('does not depend on what is combined first, for lengths up to the largest object', async () => {
    const length = fc.integer({ min: 0, max: 24 * TIB });
    await fc.assert(
      fc.asyncProperty(bytes, bytes, bytes, length, length, async (a, b, c, lengthB, lengthC) => {
        const [crcA, crcB, crcC] = [await crc64Nvme(a), await crc64Nvme(b), await crc64Nvme(c)];
        const left = combineCrc64Nvme(combineCrc64Nvme(crcA, crcB, lengthB), crcC, lengthC);
        const right = combineCrc64Nvme(crcA, combineCrc64Nvme(crcB, crcC, lengthC), lengthB + lengthC);
        expect(left).toBe(right);
      }),
    );
  });
});
