/**
 * A text in parts of at most so many bytes of UTF-8, none of which ends within a character. Stores keep long texts so:
 * InfluxDB takes none above 64 kB, and DuckDB holds one that is longer than a page whole while it writes its file.
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
