import type { Base } from '../models/base.js';
import { buildModel, type AddedParameter } from '../models/build-model.js';
import { decoderProjections, pathOf } from './decoder-projections.js';
import { fineTuning } from './fine-tuning.js';
import type { Method } from './method.js';

/**
 * A mixture of experts that keeps the base: in each decoder layer the base's MLP is expert 0, fixed under its own
 * names, beside trainable copies of it, `mlp.experts.<i>.{gate,up,down}_proj.weight`; a router, `mlp.router.weight`
 * [experts + 1, hidden], weighs all outputs, softmax(router x)_i expert_i(x), position by position. Everything else is
 * fixed. The experts are copies, so the model starts with the base's output for any router.
 *
 * The reference implementation of arXiv 2510.08564 (llava_qwen_moecl_mlp.py) has one expert beside the base's, a router
 * of the same start (normal, 0.02) with a bias, and trains with both experts weighed as here (top-k 2) but evaluates
 * with only the likelier one (top-k 1). Here evaluation computes the same as training, several experts may be added,
 * the router has no bias, and no held-out data is mixed in to train it.
 * @param seed of the routers
 */
export async function mixtureOfExperts(base: Base, { experts }: { experts: number }, seed: number): Promise<Method> {
  const projections = decoderProjections(base.blueprint, 'mlp');
  const blocks = new Set(projections.map(({ name }) => parentOf(pathOf(name))));
  const added = [...blocks].flatMap((block): AddedParameter[] => {
    const copies = Array.from({ length: experts }, (_, expert) =>
      projections
        .filter(({ name }) => parentOf(pathOf(name)) === block)
        .map(({ name, shape }) => ({
          ...{ name: `${block}.experts.${expert}${name.slice(block.length)}`, shape },
          start: { copyOf: name },
        })),
    );
    // Not zero: equal shares would keep equal copies equal for ever. The standard deviation is that of BERT's and
    // GPT-2's weights.
    const shape = [experts + 1, base.blueprint.text.width];
    return [...copies.flat(), { name: `${block}.router.weight`, shape, start: { normal: 0.02 } }];
  });
  return fineTuning(await buildModel(base, { added, seed }));
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('.'));
