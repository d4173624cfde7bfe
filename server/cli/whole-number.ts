import { InvalidArgumentError } from 'commander';

/** Parser of an option with a whole number. @param least its minimum */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    if (/^\d{1,9}$/.test(text) && Number(text) >= least) return Number(text);
    throw new InvalidArgumentError(`A whole number of ${least} or more.`);
  };
}
