/** As many bytes as `contentFits` looks at. */
export const SNIFFED_BYTES = 4_096;

interface Signature {
  readonly bytes: readonly number[];
  /** Of the first byte. */
  readonly at?: number;
}

const text = (characters: string, at = 0): Signature => ({ bytes: [...Buffer.from(characters, 'latin1')], at });

const ZIP = [text('PK\x03\x04'), text('PK\x05\x06')];
const GZIP: Signature[] = [{ bytes: [0x1f, 0x8b] }];
const JPEG: Signature[] = [{ bytes: [0xff, 0xd8, 0xff] }];
const PARQUET = [text('PAR1')];

/** Types whose content always begins in one of these ways; most are in https://mimesniff.spec.whatwg.org/#matching-a-mime-type-pattern */
const SIGNATURES: Readonly<Record<string, readonly Signature[]>> = {
  'image/png': [text('\x89PNG\r\n\x1a\n')],
  'image/jpeg': JPEG,
  'image/jpg': JPEG,
  'image/gif': [text('GIF87a'), text('GIF89a')],
  'image/webp': [text('WEBP', 8)],
  'image/bmp': [text('BM')],
  'image/tiff': [text('II*\0'), text('MM\0*')],
  'image/avif': [text('ftyp', 4)],
  'image/heic': [text('ftyp', 4)],
  'video/mp4': [text('ftyp', 4)],
  'video/webm': [{ bytes: [0x1a, 0x45, 0xdf, 0xa3] }],
  'audio/wav': [text('WAVE', 8)],
  'application/zip': ZIP,
  'application/x-zip-compressed': ZIP,
  'application/gzip': GZIP,
  'application/x-gzip': GZIP,
  'application/zstd': [{ bytes: [0x28, 0xb5, 0x2f, 0xfd] }],
  'application/vnd.apache.parquet': PARQUET,
  'application/vnd.sqlite3': [text('SQLite format 3\0')],
  'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet': ZIP,
  'application/vnd.openxmlformats-officedocument.wordprocessingml.document': ZIP,
  'application/vnd.openxmlformats-officedocument.presentationml.presentation': ZIP,
};

const TEXT_TYPES =
  /^(text\/.+|.+\+(json|xml)|application\/(json|jsonl|ndjson|x-ndjson|xml|yaml|javascript|sql|csv|x-sh))$/;

/** Bytes that no text has, in UTF-8 or any encoding that extends ASCII: https://mimesniff.spec.whatwg.org/#binary-data-byte */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const BINARY_BYTE = /[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]/;
/** UTF-16, which has zero bytes, says so. */
const UTF16_MARKS: Signature[] = [{ bytes: [0xfe, 0xff] }, { bytes: [0xff, 0xfe] }];

/**
 * Whether a file's first bytes may be of its declared media type. Types that can't be told by their first bytes, such as
 * `application/octet-stream`, fit everything.
 */
export function contentFits(contentType: string, head: Uint8Array): boolean {
  const type = (contentType.split(';')[0] ?? '').trim().toLowerCase();
  // Acrobat takes a header anywhere in the first 1,024 bytes.
  if (type === 'application/pdf') return Buffer.from(head.subarray(0, 1_024)).includes('%PDF-');
  const signatures = Object.hasOwn(SIGNATURES, type) ? SIGNATURES[type] : undefined;
  if (signatures) return signatures.some((signature) => beginsWith(head, signature));
  if (TEXT_TYPES.test(type)) {
    return (
      UTF16_MARKS.some((mark) => beginsWith(head, mark)) || !BINARY_BYTE.test(Buffer.from(head).toString('latin1'))
    );
  }
  return true;
}

function beginsWith(head: Uint8Array, { bytes, at = 0 }: Signature): boolean {
  return bytes.every((byte, index) => head[at + index] === byte);
}
