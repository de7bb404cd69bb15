import { options } from "preact";

/** What somebody does, one after the other. */
const INPUTS = [
  "keydown",
  "keyup",
  "pointerdown",
  "pointerup",
  "click",
  "input",
  "change",
  "submit",
  "focusin",
  "paste",
];
const LATEST_MS = 35; // where nothing is painted: a page that is not in sight

let due: () => void = () => undefined;

/**
 * Effects run once the frame is painted, as ever, and before anything else that somebody does is heard: a key pressed
 * within the same frame meets what the one before it did. React promises that, Preact does not by itself.
 */
options.requestAnimationFrame = (run) => {
  due = run;
  const painted = () => {
    clearTimeout(timer);
    cancelAnimationFrame(frame);
    setTimeout(run);
  };
  const timer = setTimeout(painted, LATEST_MS);
  const frame = requestAnimationFrame(painted);
};
for (const type of INPUTS) addEventListener(type, () => due(), { capture: true });
