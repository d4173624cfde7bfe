import { InvalidArgumentError } from 'commander';

/** Reads an option's value. @param least the smallest that it may be */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    if (/^\d{1,9}$/.test(text) && Number(text) >= least) return Number(text);
    throw new InvalidArgumentError(`A whole number of ${least} or more.`);
  };
}
