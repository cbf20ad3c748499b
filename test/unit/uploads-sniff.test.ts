import { expect, test } from 'vitest';
import { contentFits } from '../../lambdas/uploads/sniff.ts';

const latin1 = (text: string) => Buffer.from(text, 'latin1');
const PNG = latin1('\x89PNG\r\n\x1a\n\0\0\0\rIHDR');
const JPEG = latin1('\xff\xd8\xff\xe0\0\x10JFIF');
const GZIP = latin1('\x1f\x8b\x08\0');
const ZIP = latin1('PK\x03\x04\x14\0');
const CSV = Buffer.from('a,b\n1,ü\n');

test.each<[string, Uint8Array]>([
  ['image/png', PNG],
  ['IMAGE/PNG; charset=binary', PNG],
  ['image/jpeg', JPEG],
  ['image/gif', latin1('GIF89a')],
  ['image/webp', latin1('RIFF\x10\0\0\0WEBPVP8 ')],
  ['video/mp4', latin1('\0\0\0\x18ftypmp42')],
  ['application/gzip', GZIP],
  ['application/vnd.openxmlformats-officedocument.spreadsheetml.sheet', ZIP],
  ['application/pdf', latin1('\n%PDF-1.7')],
  ['text/csv', CSV],
  ['text/csv; charset=iso-8859-1', latin1('a,b\n1,\xfc\n')],
  ['text/csv', latin1('\xff\xfea\0,\0')],
  ['application/x-ndjson', Buffer.from('{"a":1}\n')],
  ['image/svg+xml', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')],
  ['application/octet-stream', PNG],
  ['application/onnx', latin1('\x08\x09\x12')],
  ['constructor/prototype', PNG],
])('content of %s passes as such', (contentType, head) => {
  expect(contentFits(contentType, head)).toBe(true);
});

test.each<[string, Uint8Array]>([
  ['image/png', JPEG],
  ['image/png', PNG.subarray(0, 7)],
  ['image/jpeg', CSV],
  ['image/webp', latin1('RIFF\x10\0\0\0WAVEfmt ')],
  ['application/pdf', Buffer.concat([Buffer.alloc(1_024), latin1('%PDF-')])],
  ['text/csv', PNG],
  ['text/csv', GZIP],
  ['text/csv; charset=utf-8', Buffer.from('a,b\0')],
  ['application/json', ZIP],
  ['application/vnd.api+json', latin1('\x7fELF\x02\x01')],
])('U9 other content declared as %s does not pass', (contentType, head) => {
  expect(contentFits(contentType, head)).toBe(false);
});
