import { Fragment } from 'react';

/** A long name that may break behind `_` and `.`, and nowhere inside a word. */
export const SettingName = ({ name }: { name: string }): React.ReactNode =>
  name.split(/(?<=[_.])/).map((part, index) => (
    <Fragment key={index}>
      {index > 0 && <wbr />}
      {part}
    </Fragment>
  ));
