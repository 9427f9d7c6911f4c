// What the JavaScript drivers share: one line of output per feature, see ../README.md.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export const [bootstrap, prefix] = process.argv.slice(2);

/** The version that is installed, from the package's own description beside the folder we run in. */
export function version(name) {
  const text = readFileSync(join(process.cwd(), 'node_modules', name, 'package.json'), 'utf8');
  console.log('version ' + JSON.parse(text).version);
}

/** Runs one feature; its failure is a line, not the end of the program. */
export async function feature(name, body, seconds = 90) {
  let timer;
  try {
    const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error('not within ' + seconds + ' s')), seconds * 1000); });
    await Promise.race([body(), late]);
    console.log('ok ' + name);
  } catch (e) {
    console.log('FAIL ' + name + ': ' + String(e && (e.stack || e.message) || e).split('\n').slice(0, 3).join(' ') + (e && e.errors ? ' ' + e.errors.map(String) : ''));
  } finally {
    clearTimeout(timer);
  }
}

export function equal(what, got, want) {
  if (JSON.stringify(got) !== JSON.stringify(want)) {
    throw new Error(what + ': got ' + JSON.stringify(got) + ', want ' + JSON.stringify(want));
  }
}

/** Waits until condition() holds. */
export async function until(what, condition, seconds = 60) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
    if (await condition()) {
      return;
    }
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new Error('not in time: ' + (typeof what === 'function' ? what() : what));
}
