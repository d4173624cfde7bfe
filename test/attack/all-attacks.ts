import type { Attack } from './attack.js';
import { commandAttacks } from './command-attacks.js';
import { dataSetAttacks } from './data-set-attacks.js';
import { fileAttacks } from './file-attacks.js';
import { fuzzAttacks } from './fuzz/fuzz-attacks.js';
import { limitAttacks } from './limit-attacks.js';
import { readerAttacks } from './reader-attacks.js';
import { storeDamageAttacks } from './store-damage-attacks.js';
import { trainerAttacks } from './trainer-attacks.js';
import { trainerValueAttacks } from './trainer-value-attacks.js';
import { transportFloods } from './transport-floods.js';
import { transportShapes } from './transport-shapes.js';
import { watcherAttacks } from './watcher-attacks.js';

/** @param fuzz number of inputs per boundary */
export const attacksOf = ({ fuzz, seed }: { fuzz: number; seed: number }): Attack[] => [
  ...transportFloods,
  ...transportShapes,
  ...readerAttacks,
  ...limitAttacks,
  ...trainerValueAttacks,
  ...trainerAttacks,
  ...commandAttacks,
  ...watcherAttacks,
  ...fileAttacks,
  ...dataSetAttacks,
  ...storeDamageAttacks,
  ...fuzzAttacks(fuzz, seed),
];
