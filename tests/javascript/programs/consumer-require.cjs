// A program that is no ES module.

const { createWif } = require("wif-credential");

const { name } = require("wif-credential/package.json");

console.log(JSON.stringify([name, typeof createWif]));
