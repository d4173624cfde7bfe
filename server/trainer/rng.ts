export { Rng } from '@plumbline/shared/rng';
