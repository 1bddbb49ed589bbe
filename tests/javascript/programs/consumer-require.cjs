// A program that is no ES module.

const { createWif } = require("wif-credential");

console.log(JSON.stringify(typeof createWif));
