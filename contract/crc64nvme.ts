import { createCRC64 } from 'hash-wasm';

/** CRC-64/NVME in the reflected form: polynomial 0xad93d23594c93659, initial value and final XOR all ones. */
const POLYNOMIAL = 0x9a6c9329ac4bc9b5n;
/** x^0 in the reflected form: the highest bit. */
const ONE = 1n << 63n;

/** A CRC-64/NVME (the checksum that S3 calls CRC64NVME) of bytes that come piece by piece. */
export interface Crc64NvmeHash {
  update(bytes: Uint8Array): void;
  /** Of all bytes so far, as S3 writes it: 8 bytes, big endian, in base64. More bytes may follow. */
  digestBase64(): string;
  /** Of all bytes so far, as 16 hexadecimal digits. */
  digestHex(): string;
}

// One WebAssembly instance serves every hash, each with a state of 12 bytes: an instance of its own costs 64 KiB and more.
let engine: ReturnType<typeof createCRC64> | undefined;

/**
 * Starts a CRC64NVME.
 *
 * @example
 * const hash = await createCrc64Nvme();
 * hash.update(new TextEncoder().encode('123456789'));
 * hash.digestHex(); // ae8b14860a799888
 */
export async function createCrc64Nvme(): Promise<Crc64NvmeHash> {
  engine ??= createCRC64(POLYNOMIAL.toString(16));
  const crc64 = await engine;
  let state = crc64.init().save();
  const digest = () => crc64.load(state).digest('hex');
  return {
    update(bytes) {
      state = crc64.load(state).update(bytes).save();
    },
    digestBase64: () => crc64NvmeFromHex(digest()),
    digestHex: digest,
  };
}

/** The CRC64NVME, in base64, of bytes that are all there. */
export async function crc64Nvme(bytes: Uint8Array): Promise<string> {
  const hash = await createCrc64Nvme();
  hash.update(bytes);
  return hash.digestBase64();
}

/**
 * The CRC64NVME of A followed by B, from those of A and of B (base64) and B's length in bytes, without the bytes:
 * A's value times x^(8 · length) modulo the polynomial, plus B's (zlib's `crc32_combine`, for 64 bits).
 */
export function combineCrc64Nvme(crcA: string, crcB: string, lengthB: number): string {
  return toBase64(multiply(shiftOf(lengthB), fromBase64(crcA)) ^ fromBase64(crcB));
}

// Parts are mostly of one size: remembering one shift makes 10,000 combinations as fast as 10,000 multiplications.
let lastShift = { length: 0, value: ONE };

/** x^(8 · length) modulo the polynomial. */
function shiftOf(length: number): bigint {
  if (length !== lastShift.length) {
    let value = ONE;
    let power = ONE >> 8n;
    for (let rest = length; rest > 0; rest = Math.floor(rest / 2)) {
      if (rest % 2 === 1) value = multiply(power, value);
      power = multiply(power, power);
    }
    lastShift = { length, value };
  }
  return lastShift.value;
}

/** The product of two polynomials over GF(2), reflected, modulo the CRC's. */
function multiply(a: bigint, b: bigint): bigint {
  let product = 0n;
  let shifted = b;
  for (let bit = 63n; bit >= 0n; bit--) {
    if ((a >> bit) & 1n) product ^= shifted;
    shifted = shifted & 1n ? (shifted >> 1n) ^ POLYNOMIAL : shifted >> 1n;
  }
  return product;
}

function fromBase64(crc: string): bigint {
  return BigInt(`0x${Array.from(atob(crc), (byte) => byte.charCodeAt(0).toString(16).padStart(2, '0')).join('')}`);
}

function toBase64(crc: bigint): string {
  return crc64NvmeFromHex(crc.toString(16).padStart(16, '0'));
}

/** 16 hexadecimal digits as the base64 that S3 writes. */
function crc64NvmeFromHex(hex: string): string {
  return btoa(String.fromCharCode(...(hex.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16))));
}
