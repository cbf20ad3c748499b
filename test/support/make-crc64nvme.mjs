// Rebuilds contract/crc64nvme-wasm.ts:
//
//     npm install --no-save wabt@1.0.39 && node test/support/make-crc64nvme.mjs
//
// A long input is folded first (Russell, "Chorba: A novel CRC32 implementation", arXiv 2412.16398, 2024): adding a multiple
// of the CRC's polynomial changes no CRC. One whose few terms are whole bytes apart takes the first 16 bytes away by adding
// them to later ones, at six distances, without tables or carry-less multiplication. What is left at the end, as long as
// the multiple, goes by eight tables a word (Kounavis and Berry, "Novel Table Lookup-Based Algorithms for High-Performance
// CRC Generation", 2008).

import { writeFileSync } from 'node:fs';
import openWabt from 'wabt';

/**
 * The multiple x^(8 · 4498) + x^(8 · 3925) + x^(8 · 1750) + x^(8 · 727) + x^(8 · 355) + x^(8 · 153) + 1, as distances in
 * bytes from its first term. Found by looking for equal sums of three powers among those below x^(8 · 6500); with seven
 * terms about one multiple as short as this is to be expected.
 */
const DISTANCES = [573, 2_748, 3_771, 4_143, 4_345, 4_498];
const SPAN = 4_498;
/** Bytes folded at once. */
const STEP = 16;
/** Where the tables for a word are, what is left of a folded input, and the input, with as many zeros before as it has span. */
const [TABLES, REST, INPUT] = [0, 16_384, 32_768];
const INPUT_BYTES = 262_144;
const PAGES = 5;

/** The XOR of the eight table entries that the bytes of a local choose. */
function lookUp(local) {
  const entries = Array.from({ length: 8 }, (_, byte) => {
    const index =
      byte === 0
        ? `(i32.shl (i32.wrap_i64 (local.get ${local})) (i32.const 3))`
        : `(i32.wrap_i64 (i64.shr_u (local.get ${local}) (i64.const ${8 * byte - 3})))`;
    return `(i64.load offset=${TABLES + (7 - byte) * 2_048} (i32.and ${index} (i32.const 2040)))`;
  });
  const join = (terms) =>
    terms.length === 1
      ? terms[0]
      : `(i64.xor ${join(terms.slice(0, terms.length / 2))} ${join(terms.slice(terms.length / 2))})`;
  return join(entries);
}

/** Adds to the bytes from $to to $end what was taken away before $from, which goes along with $to. */
const fold = `
      (loop $fold
        (local.set $back (i32.sub (local.get $from) (i32.const ${SPAN})))
        (v128.store (local.get $to) ${DISTANCES.reduce(
          (sum, distance) =>
            `(v128.xor ${sum}\n          (v128.load offset=${SPAN - distance} align=1 (local.get $back)))`,
          '(v128.load (local.get $to))',
        )})
        (local.set $from (i32.add (local.get $from) (i32.const ${STEP})))
        (br_if $fold (i32.lt_u (local.tee $to (i32.add (local.get $to) (i32.const ${STEP}))) (local.get $end))))`;

const wat = `(module
  (memory (export "memory") ${PAGES})
  (func (export "update") (param $crc i64) (param $at i32) (param $bytes i32) (result i64)
    (local $from i32) (local $to i32) (local $end i32) (local $back i32) (local $x i64)
    (if (i32.ge_u (local.get $bytes) (i32.const ${2 * SPAN})) (then
      (i64.store (local.get $at) (i64.xor (local.get $crc) (i64.load (local.get $at))))
      (local.set $crc (i64.const 0))
      (local.set $from (local.get $at))
      (local.set $to (local.get $at))
      (local.set $end (i32.add (local.get $at)
        (i32.and (i32.sub (local.get $bytes) (i32.const ${SPAN})) (i32.const ${-STEP}))))
      ${fold}
      (local.set $bytes (i32.sub (i32.add (local.get $at) (local.get $bytes)) (local.get $end)))
      (memory.copy (i32.const ${REST}) (local.get $end) (local.get $bytes))
      (memory.fill (local.get $end) (i32.const 0) (i32.add (local.get $bytes) (i32.const ${STEP})))
      (local.set $at (i32.const ${REST}))
      (local.set $to (local.get $at))
      (local.set $end (i32.add (local.get $at) (local.get $bytes)))
      ${fold}))
    (block $done
      (loop $words
        (br_if $done (i32.lt_u (local.get $bytes) (i32.const 8)))
        (local.set $x (i64.xor (local.get $crc) (i64.load (local.get $at))))
        (local.set $crc ${lookUp('$x')})
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (local.set $bytes (i32.sub (local.get $bytes) (i32.const 8)))
        (br $words)))
    (block $done
      (loop $single
        (br_if $done (i32.eqz (local.get $bytes)))
        (local.set $crc (i64.xor (i64.shr_u (local.get $crc) (i64.const 8))
          (i64.load offset=${TABLES} (i32.and (i32.const 2040)
            (i32.shl (i32.wrap_i64 (i64.xor (local.get $crc) (i64.load8_u (local.get $at)))) (i32.const 3))))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $bytes (i32.sub (local.get $bytes) (i32.const 1)))
        (br $single)))
    (local.get $crc)))`;

const wabt = await openWabt();
const base64 = Buffer.from(wabt.parseWat('crc64nvme.wat', wat).toBinary({}).buffer).toString('base64');
const text = base64
  .match(/.{1,100}/g)
  .map((line) => `  '${line}',`)
  .join('\n');
writeFileSync(
  new URL('../../contract/crc64nvme-wasm.ts', import.meta.url),
  `/** The inner loop of CRC-64 as WebAssembly, in base64; test/support/make-crc64nvme.mjs says how it works and rebuilds it. */
export const CRC64_WASM = [
${text}
].join('');

/** Where its memory has the input. */
export const INPUT = ${INPUT};
export const INPUT_BYTES = ${INPUT_BYTES};
`,
);
