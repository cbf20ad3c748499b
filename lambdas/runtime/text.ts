/** At most `maxLength` characters of a text, as every store takes them: half a surrogate pair becomes U+FFFD. */
export function cutText(text: string, maxLength: number): string {
  return text.slice(0, maxLength).toWellFormed();
}
