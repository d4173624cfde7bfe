/**
 * Metric names from other tools, and names that a store, a table, a line protocol or a page may misinterpret. Each is
 * an ordinary metric.
 */
export const oddNames: readonly string[] = [
  ...['loss', 'eval_loss', 'lr-AdamW/pg1', 'val/AR@100', 'eval/acc top-1', 'Train/Loss', 'a', '0', '10', '1e3'],
  ...['constructor', '__proto__', 'toString', 'hasOwnProperty', 'held_out/constructor/accuracy', 'drift/__proto__'],
  ...['time', 'any.name/time', '_value', '_field', 'plumbline.run/record_0', 'train/loss:nonfinite', 'NULL', 'NaN'],
  ...['a,b=c d\\e', 'a"b', "a'b", '"', '#', '%2F', '100 %', 'a//b', '/', 'a/', '(x|y).*[z]{2}^$', '${x}', '<b>&amp;'],
  ...['größe/été', '損失', '😀 spike', 'x'.repeat(200), '损'.repeat(200)],
];
