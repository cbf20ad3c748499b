import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { combineCrc64Nvme, crc64Nvme, createCrc64Nvme } from '../../contract/crc64nvme.ts';
import { TIB } from '../../contract/limits.ts';

const bytes = fc.uint8Array({ maxLength: 3_000 });

/** By the definition, bit by bit. */
function bitByBit(bytes: Uint8Array): string {
  let crc = 0xffffffffffffffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x9a6c9329ac4bc9b5n : crc >> 1n;
  }
  return (crc ^ 0xffffffffffffffffn).toString(16).padStart(16, '0');
}

describe('CRC64NVME', () => {
  it('is what the definition gives, for every length around those that are worked on at once', async () => {
    const bytes = Uint8Array.from({ length: 20_000 }, (_, at) => Math.imul(at, 2_654_435_761) >>> 13);
    const lengths = [1, 7, 8, 9, 4_497, 4_498, 8_995, 8_996, 8_997, 9_003, 9_004, 9_011, 9_012, 13_494, 19_999];
    for (const length of lengths) {
      for (const start of [0, 1]) {
        const part = bytes.subarray(start, start + length);
        const hash = await createCrc64Nvme();
        hash.update(part);
        expect(hash.digestHex()).toBe(bitByBit(part));
      }
    }
  });

  it('is the same for a piece that is larger than its memory', async () => {
    const bytes = Uint8Array.from({ length: 700_001 }, (_, at) => (at * 40_503) >>> 5);
    const hash = await createCrc64Nvme();
    for (let at = 0; at < bytes.length; at += 1_000) hash.update(bytes.subarray(at, at + 1_000));
    expect(await crc64Nvme(bytes)).toBe(hash.digestBase64());
  });

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
