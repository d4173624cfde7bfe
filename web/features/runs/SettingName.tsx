import { Fragment } from 'react';

/** A long name that breaks after `_` and `.` only. */
export const SettingName = ({ name }: { name: string }): React.ReactNode =>
  name.split(/(?<=[_.])/).map((part, index) => (
    <Fragment key={index}>
      {index > 0 && <wbr />}
      {part}
    </Fragment>
  ));
