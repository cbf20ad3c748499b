import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { rename } from 'node:fs/promises';

const DEMO_COLUMNS = 16;
const VALUES = 4_096;
const ROWS_PER_WRITE = 4_096;

/** Marsaglia's xorshift32 (doi:10.18637/jss.v008.i14): the same seed makes the same file everywhere. */
function xorshift32(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Texts of standard-normal numbers with 4 decimals (Box–Muller), from which the rows are drawn. */
function normalTexts(random: () => number): string[] {
  const uniform = () => (random() + 1) / 4_294_967_297;
  return Array.from({ length: VALUES }, () =>
    (Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())).toFixed(4),
  );
}

/** Writes a CSV of at least `sizeBytes` with 16 numeric columns and answers with its number of rows; the same for the same size. */
export async function writeDemoFile(
  path: string,
  sizeBytes: number,
  onBytes: (written: number) => void,
): Promise<number> {
  const random = xorshift32(20_261_121);
  const texts = normalTexts(random);
  const part = `${path}.part`;
  const file = createWriteStream(part);
  let written = 0;
  let rows = 0;
  const write = async (text: string) => {
    written += text.length;
    if (!file.write(text)) await once(file, 'drain');
    onBytes(written);
  };
  await write(`${Array.from({ length: DEMO_COLUMNS }, (_, at) => `x${String(at + 1).padStart(2, '0')}`).join(',')}\n`);
  while (written < sizeBytes) {
    let text = '';
    for (let row = 0; row < ROWS_PER_WRITE; row += 1) {
      for (let column = 1; column < DEMO_COLUMNS; column += 1) text += `${texts[random() % VALUES]},`;
      text += `${texts[random() % VALUES]}\n`;
    }
    rows += ROWS_PER_WRITE;
    await write(text);
  }
  file.end();
  await once(file, 'close');
  await rename(part, path);
  return rows;
}
