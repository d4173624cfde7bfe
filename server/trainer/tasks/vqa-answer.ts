/** Contractions that are written with an apostrophe; people leave one out. */
const contractions = (
  "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've " +
  "he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've " +
  "o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's " +
  "someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've " +
  "there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's " +
  "what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've " +
  "wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've"
).split(' ');
/** Spellings without one of the apostrophes, with the right one. */
const contractionOf = new Map(
  contractions.flatMap((right) =>
    Array.from(right.matchAll(/'/g), ({ index }) => [right.slice(0, index) + right.slice(index + 1), right] as const),
  ),
);
const digitOf = new Map(
  'zero one two three four five six seven eight nine ten'.split(' ').map((word, digit) => [word, String(digit)]),
);
digitOf.set('none', '0');
const articles = ['a', 'an', 'the'];
const punctuation = [...';/[]"{}()=+\\_-><@`,?!'];

/**
 * An answer in the form in which the VQA challenge compares answers: lower case, no articles, no punctuation, digits
 * for number words, contractions with their apostrophes. Source: EvalAIAnswerProcessor of lmms-eval, after mmf.
 */
export function vqaAnswer(text: string): string {
  const lower = text.toLowerCase().replaceAll(',', '').replaceAll('?', '').replaceAll("'s", " 's").trim();
  const line = lower.replaceAll('\n', ' ').replaceAll('\t', ' ').trim();
  let out = line;
  for (const mark of punctuation)
    // Beside a space it vanishes, between letters it becomes a space.
    out = out.replaceAll(mark, line.includes(`${mark} `) || line.includes(` ${mark}`) ? '' : ' ');
  return out
    .replace(/\.(?!\d)/g, '')
    .split(/\s+/)
    .filter((word) => word !== '')
    .map((word) => digitOf.get(word) ?? word)
    .filter((word) => !articles.includes(word))
    .map((word) => contractionOf.get(word) ?? word)
    .join(' ');
}
