import type { Blueprint, ParameterShape } from '../models/blueprint.js';
import { roleOf } from '../models/parameter-roles.js';

/** The weights [out, in] of the projections in the decoder's layers, of one block or of both. */
export const decoderProjections = ({ parameters }: Blueprint, wanted?: 'self_attn' | 'mlp'): ParameterShape[] =>
  parameters.filter(({ name, shape }) => {
    const { part, layer, block, projection } = roleOf(name).role;
    const isProjection = part === 'language' && layer !== undefined && projection !== undefined && shape.length === 2;
    return isProjection && (wanted === undefined || block === wanted);
  });

/** `a.b.weight` -> `a.b` */
export const pathOf = (name: string): string => name.slice(0, -'.weight'.length);
