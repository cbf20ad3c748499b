import { CRC64_WASM, INPUT, INPUT_BYTES } from './crc64nvme-wasm.ts';

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

/** All ones, which the CRC begins with and is inverted by at its end. */
const ONES = 0xffffffffffffffffn;

interface Engine {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** The input's bytes in its memory. */
  readonly input: Uint8Array;
  update(crc: bigint, at: number, bytes: number): bigint;
}

// One WebAssembly instance serves every hash: a hash is 8 bytes, an instance has 320 KiB.
let engine: Promise<Engine> | undefined;

/**
 * What another thread needs to hash by itself: an instance of `module` with `tables` at the begin of its memory. Bytes
 * written at `input`, `inputBytes` at most, are taken, and overwritten, by its function `update(state, input, bytes)`,
 * which answers with the next state. The first state is all ones, and `encodeCrc64Nvme` makes the checksum of the last one.
 */
export async function crc64NvmeEngine() {
  engine ??= startEngine();
  const { module, memory } = await engine;
  return { module, tables: new Uint8Array(memory.buffer.slice(0, INPUT)), input: INPUT, inputBytes: INPUT_BYTES };
}

/** The checksum, in base64, of the bytes that brought an engine's state there. */
export function encodeCrc64Nvme(state: bigint): string {
  return toBase64(BigInt.asUintN(64, ~state));
}

async function startEngine(): Promise<Engine> {
  const code = Uint8Array.from(atob(CRC64_WASM), (char) => char.charCodeAt(0));
  const { module, instance } = await WebAssembly.instantiate(code);
  const { memory, update } = instance.exports as { memory: WebAssembly.Memory; update: Engine['update'] };
  const byte = (value: bigint) => {
    let crc = value;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ POLYNOMIAL : crc >> 1n;
    return crc;
  };
  // Eight tables: what a byte becomes that has none, one, … or seven bytes after it in its word.
  const tables = new BigUint64Array(memory.buffer, 0, 8 * 256);
  for (let at = 0; at < tables.length; at++) {
    const before = tables[at - 256];
    tables[at] = before === undefined ? byte(BigInt(at)) : (before >> 8n) ^ (tables[Number(before & 0xffn)] as bigint);
  }
  return { module, memory, input: new Uint8Array(memory.buffer, INPUT, INPUT_BYTES), update };
}

/**
 * Starts a CRC64NVME.
 *
 * @example
 * const hash = await createCrc64Nvme();
 * hash.update(new TextEncoder().encode('123456789'));
 * hash.digestHex(); // ae8b14860a799888
 */
export async function createCrc64Nvme(): Promise<Crc64NvmeHash> {
  engine ??= startEngine();
  const { input, update } = await engine;
  let crc = ONES;
  return {
    update(bytes) {
      for (let at = 0; at < bytes.length; at += INPUT_BYTES) {
        const piece = bytes.subarray(at, at + INPUT_BYTES);
        input.set(piece);
        crc = update(crc, INPUT, piece.length);
      }
    },
    digestBase64: () => encodeCrc64Nvme(crc),
    digestHex: () => BigInt.asUintN(64, ~crc).toString(16).padStart(16, '0'),
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
