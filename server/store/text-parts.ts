/**
 * Splits a text into parts of at most `maxBytes` bytes of UTF-8, at character boundaries. Stores keep long texts this way:
 * InfluxDB takes no text above 64 kB, and DuckDB holds texts longer than a page whole while it writes its file.
 */
export function textParts(text: string, maxBytes: number): string[] {
  const bytes = Buffer.from(text);
  const parts: string[] = [];
  for (let from = 0; from < bytes.length;) {
    let to = Math.min(bytes.length, from + maxBytes);
    // A byte that goes on with a character begins with the bits 10.
    while (to < bytes.length && (bytes[to]! & 0xc0) === 0x80) to--;
    parts.push(bytes.toString('utf8', from, to));
    from = to;
  }
  return parts;
}
