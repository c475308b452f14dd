import assert from "node:assert/strict";
import test from "node:test";
import { worth } from "../src/paths";

test("a product is written with its sign", () => {
  assert.equal(worth({ product: 2.5, sign: 1, log10: Math.log10(2.5) }), "2.5");
  assert.equal(worth({ product: 1e-5, sign: -1, log10: -5 }), "−1.00e-5");
});

test("a product that no number can hold is written by its logarithm", () => {
  assert.equal(worth({ product: 0, sign: 1, log10: -399 }), "1.00e-399");
  assert.equal(worth({ product: 0, sign: -1, log10: -398.69897 }), "−2.00e-399");
  assert.equal(worth({ product: "Infinity", sign: 1, log10: 400.4771213 }), "3.00e+400");
  assert.equal(worth({ product: 0, sign: 1, log10: -398.0000001 }), "1.00e-398");
  assert.equal(worth({ product: 1e-323, sign: 1, log10: Math.log10(1.4) - 323 }), "1.40e-323");
});
