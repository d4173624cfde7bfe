import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { messageNames, messageSchema } from '../support/protocol-schemas.js';

describe('the JSON Schemas of the protocol', () => {
  it.each(messageNames)('%s is as in its file, which npm run schemas writes', async (name) => {
    const text = `${JSON.stringify(messageSchema(name), null, 2)}\n`;
    await expect(text).toMatchFileSnapshot(`../../shared/schemas/${name}.json`);
  });
  it.each(messageNames)('%s is a valid schema', (name) => {
    expect(() => new Ajv2020({ strict: false }).compile(messageSchema(name))).not.toThrow();
  });
});
