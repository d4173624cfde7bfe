import { lazyDialog } from '../../lib/lazy-dialog';
// Other forms use its styles of fields too.
import './new-run.css';

export const NewRunDialog = lazyDialog(async () => (await import('./NewRunDialog')).NewRunDialog);
