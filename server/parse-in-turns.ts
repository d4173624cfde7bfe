import { Turn } from './turn.js';

/** Characters that are parsed in one go: about a millisecond. */
const pieceLength = 64 * 1024;
const [quote, backslash, comma, colon] = ['"', '\\', ',', ':'].map((character) => character.charCodeAt(0));
const [openList, closeList, openObject, closeObject] = ['[', ']', '{', '}'].map((character) => character.charCodeAt(0));

/**
 * As `JSON.parse`, but yields the event loop between pieces of a long text. The text should be as `JSON.stringify` writes
 * it: one with spaces is parsed in one go.
 * @param turn of the caller, if it parses several texts
 * @throws SyntaxError when the text is not JSON
 */
export async function parseInTurns(text: string, turn = new Turn()): Promise<unknown> {
  if (turn.isOver) await turn.next();
  if (text.length > pieceLength)
    try {
      const { value, end } = await new Pieces(text, turn).read(0);
      if (end === text.length) return value;
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  return JSON.parse(text);
}

/** Cuts long lists and objects between their members, and parses as many members at a time as fit into a piece. */
class Pieces {
  constructor(
    readonly text: string,
    readonly turn: Turn,
  ) {}

  /** Parses the value that begins at `from`. */
  async read(from: number): Promise<{ value: unknown; end: number }> {
    const end = this.#endOf(from, from + pieceLength);
    if (end !== null) return { value: await this.#parse(this.text.slice(from, end)), end };
    const first = this.text.charCodeAt(from);
    if (first === openList) {
      const list: unknown[] = [];
      return { value: list, end: await this.#readMembers(from, closeList!, list) };
    }
    const entries: unknown[] = [];
    const at = await this.#readMembers(from, closeObject!, entries);
    return { value: Object.fromEntries(entries as [string, unknown][]), end: at };
  }

  /**
   * Parses the members of the list or object that begins at `from`.
   * @param into gets the entries of a list, or the fields of an object with their names
   * @returns its end
   */
  async #readMembers(from: number, close: number, into: unknown[]): Promise<number> {
    const isObject = close === closeObject;
    /** Adds members that are written one after another. */
    const add = async (members: string): Promise<void> => {
      const parsed = await this.#parse(isObject ? `{${members}}` : `[${members}]`);
      for (const entry of isObject ? Object.entries(parsed as object) : (parsed as unknown[])) into.push(entry);
    };
    /** Where the members begin that are not added yet. */
    let begin = from + 1;
    for (let at = begin; ;) {
      const valueAt = isObject ? this.#valueAfterName(at) : at;
      let end = this.#endOf(valueAt, valueAt + pieceLength);
      if (end === null) {
        if (at > begin) await add(this.text.slice(begin, at - 1));
        const { value, end: valueEnd } = await this.read(valueAt);
        into.push(isObject ? [JSON.parse(this.text.slice(at, valueAt - 1)), value] : value);
        begin = valueEnd + 1;
        end = valueEnd;
      }
      const next = this.text.charCodeAt(end);
      if (end === valueAt || (next !== comma && next !== close)) throw new SyntaxError(`No member ends at ${end}.`);
      if (end > begin && (next === close || end - begin > pieceLength)) {
        await add(this.text.slice(begin, end));
        begin = end + 1;
      }
      at = end + 1;
      if (next === close) return at;
    }
  }

  async #parse(json: string): Promise<unknown> {
    if (this.turn.isOver) await this.turn.next();
    return JSON.parse(json);
  }

  /** Where the value of a field begins. */
  #valueAfterName(from: number): number {
    const end = this.text.charCodeAt(from) === quote ? this.#endOfString(from) : from;
    if (this.text.charCodeAt(end) !== colon) throw new SyntaxError(`No field begins at ${from}.`);
    return end + 1;
  }

  /** The end of the value that begins at `from`; null if a list or object goes on after `limit`. */
  #endOf(from: number, limit: number): number | null {
    const { text } = this;
    let depth = 0;
    for (let at = from; at < text.length; at++) {
      const character = text.charCodeAt(at);
      if (character === quote) {
        at = this.#endOfString(at) - 1;
        if (depth === 0) return at + 1;
      } else if (character === openList || character === openObject) {
        depth++;
      } else if (character === closeList || character === closeObject) {
        // The list or object around a number or a word.
        if (depth === 0) return at;
        if (--depth === 0) return at + 1;
      } else if (character === comma && depth === 0) return at;
      if (depth > 0 && at > limit) return null;
    }
    return text.length;
  }

  #endOfString(from: number): number {
    const { text } = this;
    for (let at = text.indexOf('"', from + 1); at >= 0; at = text.indexOf('"', at + 1)) {
      let before = at - 1;
      while (text.charCodeAt(before) === backslash) before--;
      if ((at - before) % 2 === 1) return at + 1;
    }
    throw new SyntaxError(`The text that begins at ${from} does not end.`);
  }
}
