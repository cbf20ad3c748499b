// Rebuilds contract/crc64nvme-wasm.ts:
//
//     npm install --no-save wabt@1.0.39 && node test/support/make-crc64nvme.mjs
//
// CRC-64 by eight tables a word (Kounavis and Berry, "Novel Table Lookup-Based Algorithms for High-Performance CRC
// Generation", 2008), on three lanes at once: one lane waits most of its time for loads that depend on the word before.
// The lanes lie one after the other; `A || B` is joined by shifting A's CRC over B's bytes, by eight tables more.

import { writeFileSync } from 'node:fs';
import openWabt from 'wabt';

const LANES = 3;
const LANE_BYTES = 1_024;
/** Where the tables for a word are, those for a shift over a lane, and the input. */
const [WORD_TABLES, SHIFT_TABLES, INPUT] = [0, 16_384, 32_768];

/** The XOR of the eight table entries that the bytes of a local choose. */
function fold(local, tables) {
  const entries = Array.from({ length: 8 }, (_, byte) => {
    const index =
      byte === 0
        ? `(i32.shl (i32.wrap_i64 (local.get ${local})) (i32.const 3))`
        : `(i32.wrap_i64 (i64.shr_u (local.get ${local}) (i64.const ${8 * byte - 3})))`;
    return `(i64.load offset=${tables + (7 - byte) * 2_048} (i32.and ${index} (i32.const 2040)))`;
  });
  const join = (terms) =>
    terms.length === 1
      ? terms[0]
      : `(i64.xor ${join(terms.slice(0, terms.length / 2))} ${join(terms.slice(terms.length / 2))})`;
  return join(entries);
}

const lanes = Array.from({ length: LANES }, (_, lane) => lane);
const lines = (items) => items.join('\n          ');

const wat = `(module
  (memory (export "memory") 4)
  (func (export "update") (param $crc i64) (param $at i32) (param $bytes i32) (result i64)
    (local $end i32) (local $x i64) ${lanes.map((lane) => `(local $c${lane} i64) (local $x${lane} i64)`).join(' ')}
    (block $rest
      (loop $blocks
        (br_if $rest (i32.lt_u (local.get $bytes) (i32.const ${LANES * LANE_BYTES})))
        (local.set $c0 (local.get $crc))
        ${lanes
          .slice(1)
          .map((lane) => `(local.set $c${lane} (i64.const 0))`)
          .join(' ')}
        (local.set $end (i32.add (local.get $at) (i32.const ${LANE_BYTES})))
        (loop $words
          ${lines(lanes.map((lane) => `(local.set $x${lane} (i64.xor (local.get $c${lane}) (i64.load offset=${lane * LANE_BYTES} (local.get $at))))`))}
          ${lines(lanes.map((lane) => `(local.set $c${lane} ${fold(`$x${lane}`, WORD_TABLES)})`))}
          (br_if $words (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (local.get $end))))
        (local.set $crc (local.get $c0))
        ${lines(
          lanes
            .slice(1)
            .map(
              (lane) =>
                `(local.set $x (local.get $crc)) (local.set $crc (i64.xor ${fold('$x', SHIFT_TABLES)} (local.get $c${lane})))`,
            ),
        )}
        (local.set $at (i32.add (local.get $at) (i32.const ${(LANES - 1) * LANE_BYTES})))
        (local.set $bytes (i32.sub (local.get $bytes) (i32.const ${LANES * LANE_BYTES})))
        (br $blocks)))
    (block $rest
      (loop $words
        (br_if $rest (i32.lt_u (local.get $bytes) (i32.const 8)))
        (local.set $x (i64.xor (local.get $crc) (i64.load (local.get $at))))
        (local.set $crc ${fold('$x', WORD_TABLES)})
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (local.set $bytes (i32.sub (local.get $bytes) (i32.const 8)))
        (br $words)))
    (block $done
      (loop $single
        (br_if $done (i32.eqz (local.get $bytes)))
        (local.set $crc (i64.xor (i64.shr_u (local.get $crc) (i64.const 8))
          (i64.load offset=${WORD_TABLES} (i32.and (i32.const 2040)
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

/** What its code is made for: bytes a lane, and offsets in its memory of the tables and of the input. */
export const LANE_BYTES = ${LANE_BYTES};
export const WORD_TABLES = ${WORD_TABLES};
export const SHIFT_TABLES = ${SHIFT_TABLES};
export const INPUT = ${INPUT};
export const INPUT_BYTES = ${4 * 65_536 - INPUT};
`,
);
