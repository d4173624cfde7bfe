import { visibleLine, visibleText } from '@plumbline/shared/plain-text';

/* Output of commands. Names and reasons come from trainers, stores and hubs, and must not control the terminal. */

/** Prints a line. A name in it cannot begin another. */
export const say = (line: string): void => console.log(visibleLine(line));

/** Prints an error's message, or any other text for people, to the error stream. */
export const sayError = (error: unknown): void =>
  console.error(visibleText(error instanceof Error ? error.message : String(error)));
