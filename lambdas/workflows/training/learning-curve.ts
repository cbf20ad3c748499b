import type { UpdateOutput } from './iterations.ts';

type Point = Pick<UpdateOutput, 'iteration' | 'mean_return' | 'min_return' | 'max_return'>;

/** A line for each iteration, counted from 1: the returns of its episodes, all with noise on the weights. */
export function learningCurveCsv(points: readonly Point[]): string {
  const lines = points.map(({ iteration, mean_return, min_return, max_return }) =>
    [iteration + 1, mean_return, min_return, max_return].join(','),
  );
  return `${['iteration,mean_return,min_return,max_return', ...lines].join('\n')}\n`;
}

const [WIDTH, HEIGHT] = [720, 400];
const FRAME = { left: 64, right: 700, top: 40, bottom: 350 };
const TICKS = 5;

/** The mean as a line, and the range from the least to the greatest return as an area behind it. */
export function learningCurveSvg(points: readonly Point[], title: string): string {
  const low = Math.min(...points.map(({ min_return }) => min_return));
  const high = Math.max(...points.map(({ max_return }) => max_return));
  const span = high - low || 1;
  const x = (iteration: number) =>
    round(FRAME.left + ((FRAME.right - FRAME.left) * iteration) / Math.max(1, points.length - 1));
  const y = (value: number) => round(FRAME.bottom - ((FRAME.bottom - FRAME.top) * (value - low)) / span);
  const path = (of: (point: Point) => number, along = points) =>
    along.map((point) => `${x(point.iteration)},${y(of(point))}`).join(' ');
  const range = `${path(({ max_return }) => max_return)} ${path(({ min_return }) => min_return, points.toReversed())}`;
  const steps = Array.from({ length: TICKS }, (_, at) => at / (TICKS - 1));
  const returns = steps.map((share) => low + share * span);
  const iterations = [...new Set(steps.map((share) => Math.round(share * (points.length - 1))))];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<title>${title}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${FRAME.left}" y="24" font-size="15">${title}</text>`,
    ...returns.map((value) => {
      const line = `<line x1="${FRAME.left}" x2="${FRAME.right}" y1="${y(value)}" y2="${y(value)}" stroke="#ddd"/>`;
      return `${line}<text x="${FRAME.left - 8}" y="${y(value) + 4}" text-anchor="end">${round(value)}</text>`;
    }),
    ...iterations.map((at) => `<text x="${x(at)}" y="${FRAME.bottom + 18}" text-anchor="middle">${at + 1}</text>`),
    `<text x="${(FRAME.left + FRAME.right) / 2}" y="${HEIGHT - 12}" text-anchor="middle">iteration</text>`,
    `<polygon points="${range}" fill="#9cf" fill-opacity="0.4"/>`,
    `<polyline points="${path(({ mean_return }) => mean_return)}" fill="none" stroke="#05a" stroke-width="2"/>`,
    '</svg>',
    '',
  ].join('\n');
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
