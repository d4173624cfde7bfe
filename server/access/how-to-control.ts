/** What a browser without a session is told when it tries to change something. */
export const howToControl =
  'This browser may only look. Open the link that `npm start` printed; `npm run plumbline -- link` prints a new one.';
