import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { short, type Attack } from './attack.js';
import { badRefusal, obeyed, plumbline, type CommandEnd } from './command-line.js';
import { inFolder } from './file-attacks.js';

/* Untrusted data sets: each must be read whole or refused with a message that names the fault. */

interface DataSetCase {
  what: string;
  format: 'llava' | 'path_vqa';
  file: string;
  content: string | Buffer;
  right: (end: CommandEnd) => string | null;
}

const hasRecords =
  (records: number) =>
  ({ code, output }: CommandEnd): string | null =>
    code === 0 && output.includes(`"records":${records}`)
      ? null
      : `it ended with ${code} and ${short(output)} instead of ${records} records`;
/** As a whole, or record by record in the survey. */
const isRefused = (end: CommandEnd): string | null =>
  end.code === 1 && /"broken":[1-9]/.test(end.output) ? null : badRefusal(end);

/** Three characters in GBK; the last is invalid in UTF-8. */
const notUtf8 = '\xd2\xbb\xd6\xbb\xc4\xf1';
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const chat = (answer: string): string =>
  `{"image":"a.png","conversations":[{"from":"human","value":"<image>\\nwhat ?"},{"from":"gpt","value":"${answer}"}]}`;
const asked = (image: string): string => `{"image":"${image}","question":"is it ?","answer":"yes"}\n`;
const head = 'image,question,answer\n';
const row = 'a.png,is it ?,yes\n';
const rowsAround = (middle: string): string => head + row.repeat(49_999) + middle + row.repeat(10_000);

const cases: DataSetCase[] = [
  {
    ...{ what: 'of 60,000 rows with a fault in row 50,000', format: 'path_vqa', file: 'train.csv' },
    ...{ content: rowsAround('a.png,what, then ?,no\n'), right: isRefused },
  },
  {
    ...{ what: 'of 60,000 rows with a quoted field in row 50,000', format: 'path_vqa', file: 'train.csv' },
    ...{ content: rowsAround('a.png,"what, then ?",no\n'), right: hasRecords(60_000) },
  },
  {
    ...{ what: 'in JSON that is not UTF-8', format: 'llava', file: 'train.json' },
    ...{ content: bytes(`[${chat(notUtf8)}]`), right: isRefused },
  },
  {
    ...{ what: 'in lines that are not UTF-8', format: 'llava', file: 'train.jsonl' },
    ...{ content: bytes(`${chat('a bird')}\n${chat(notUtf8)}\n`), right: isRefused },
  },
  {
    ...{ what: 'in CSV that is not UTF-8', format: 'path_vqa', file: 'train.csv' },
    ...{ content: bytes(`${head}a.png,is it ?,${notUtf8}\n`), right: isRefused },
  },
  {
    ...{ what: 'with one line of 100 MB', format: 'llava', file: 'train.jsonl' },
    ...{ content: chat('word '.repeat(20_000_000)), right: (end) => (end.code === 0 ? null : isRefused(end)) },
  },
  {
    ...{ what: 'that is nested 100,000 deep', format: 'llava', file: 'train.json' },
    ...{ content: '['.repeat(100_000), right: isRefused },
  },
  { what: 'that is empty', format: 'llava', file: 'train.json', content: '', right: isRefused },
  {
    ...{ what: 'whose pictures lead out of its folder', format: 'path_vqa', file: 'train.jsonl' },
    ...{ content: asked('../../../../etc/passwd') + asked('/dev/zero'), right: isRefused },
  },
  {
    ...{ what: 'that claims to be a table', format: 'path_vqa', file: 'train.parquet' },
    ...{ content: 'PAR1 no table PAR1', right: isRefused },
  },
];

/** A picture of one pixel. */
const picture = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

export const dataSetAttacks: Attack[] = cases.map(({ what, format, file, content, right }) =>
  inFolder(`a data set ${what}`, async (folder) => {
    await writeFile(join(folder, file), content);
    await writeFile(join(folder, 'a.png'), Buffer.from(picture, 'base64'));
    return right(await plumbline('data', format, folder, '--json'));
  }),
);

dataSetAttacks.push(
  inFolder('a data set whose words and faults are terminal escapes', async (folder) => {
    const escape = '\u001b[31m\u001b[2J\u0007';
    const lines = [
      chat(JSON.stringify(escape).slice(1, -1)),
      chat('x').replace('a.png', JSON.stringify(escape).slice(1, -1)),
      escape,
    ];
    await writeFile(join(folder, 'train.jsonl'), lines.join('\n'));
    await writeFile(join(folder, 'a.png'), Buffer.from(picture, 'base64'));
    const { output } = await plumbline('data', 'llava', folder);
    return obeyed.test(output) ? `it prints ${short(output, 200)}` : null;
  }),
);
