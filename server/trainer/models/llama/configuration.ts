import type { DecoderConfiguration } from '../layers/decoder.js';
import { textConfiguration } from '../layers/text-configuration.js';

/** @throws ConfigurationError naming the field */
export const llamaConfiguration = (config: unknown): DecoderConfiguration =>
  textConfiguration(config, { kind: 'llama' });
