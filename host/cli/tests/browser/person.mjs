// A person with a real browser: person.mjs PACKAGES BROWSER INTENT REPORT URL
//
// Opens the address that `wif login` opens, does on the page what INTENT says, and writes into REPORT what the browser saw.

import { renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const [packages, executablePath, intent, report, url] = process.argv.slice(2);
const { chromium } = createRequire(`${packages}/`)("playwright-core");

const browser = await chromium.launch({ executablePath });
const seen = { intent, complaints: [] };
try {
  const page = await browser.newPage();
  // Such as what the page's own policy forbids it.
  page.on("console", (message) => message.type() === "error" && seen.complaints.push(message.text()));
  await page.goto(url);
  seen.asked = await page.textContent("h1");
  if (intent === "allow another login") {
    // Another page sends the browser to where the command listens, with a code of its own.
    const back = new URL(new URL(url).searchParams.get("redirect_uri"));
    back.search = "?code=stolen&state=another";
    const answer = await page.goto(back.href);
    seen.sentAway = { status: answer.status(), text: await page.textContent("p") };
    seen.complaints = [];
    await page.goto(url);
  }
  if (intent !== "close the window") {
    const button = intent === "deny" ? "#deny" : "#allow";
    await Promise.all([page.waitForURL(/^http:\/\/localhost:\d+\/callback/), page.click(button)]);
    seen.told = await page.textContent("p");
  }
} catch (error) {
  seen.failed = String(error);
}
await browser.close();
// Whoever waits for the report sees all of it, and nothing of the browser is left.
writeFileSync(`${report}.new`, JSON.stringify(seen));
renameSync(`${report}.new`, report);
