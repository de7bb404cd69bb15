import { autocompletion, type CompletionContext, type CompletionResult } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, lintGutter, setDiagnostics } from "@codemirror/lint";
import { unifiedMergeView } from "@codemirror/merge";
import { EditorState } from "@codemirror/state";
import { EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "react";

export type Mark = { line: number; column: number | null; message: string };
type Props = {
  /** What is in force: changes are shown against it. */
  original: string;
  start: string;
  marks: readonly Mark[];
  names: readonly string[];
  readOnly: boolean;
  onChange: (text: string) => void;
};

const COLOURS = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--accent)" },
  { tag: [tags.string, tags.content], color: "var(--fg)" },
  { tag: tags.comment, color: "var(--muted)" },
  { tag: [tags.punctuation, tags.separator, tags.squareBracket, tags.brace], color: "var(--muted)" },
  { tag: tags.keyword, color: "var(--shadow)" },
]);

const LOOK = EditorView.theme({
  "&": { backgroundColor: "var(--bg)", color: "var(--fg)", fontSize: "12px", maxHeight: "64dvh" },
  ".cm-scroller": { fontFamily: "var(--font-mono)", overflow: "auto" },
  ".cm-gutters": { backgroundColor: "var(--bg)", color: "var(--muted)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--accent) 8%, transparent)" },
  ".cm-content": { caretColor: "var(--fg)" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", border: "1px solid var(--line)", color: "var(--fg)" },
  ".cm-changedLine": { backgroundColor: "color-mix(in srgb, var(--gain) 14%, transparent) !important" },
  ".cm-deletedChunk": { backgroundColor: "color-mix(in srgb, var(--loss) 14%, transparent)" },
});

/** The firm's section as YAML, with the server's findings at their lines and what differs from what is in force. */
export default function YamlEditor({ original, start, marks, names, readOnly, onChange }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const told = useRef(onChange);
  told.current = onChange;
  useEffect(() => {
    if (box.current === null) return;
    const complete = (at: CompletionContext): CompletionResult | null => {
      const word = at.matchBefore(/[\w]+/);
      if (word === null && !at.explicit) return null;
      return { from: word?.from ?? at.pos, options: names.map((label) => ({ label, type: "property" })) };
    };
    const made = new EditorView({
      parent: box.current,
      state: EditorState.create({
        doc: start,
        extensions: [
          lineNumbers(),
          history(),
          bracketMatching(),
          indentOnInput(),
          highlightActiveLine(),
          syntaxHighlighting(COLOURS),
          yaml(),
          lintGutter(),
          autocompletion({ override: [complete] }),
          unifiedMergeView({ original, mergeControls: false, gutter: true }),
          keymap.of([...defaultKeymap, ...historyKeymap]),
          EditorState.readOnly.of(readOnly),
          EditorView.contentAttributes.of({ "aria-label": "Configuration as YAML" }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) told.current(update.state.doc.toString());
          }),
          LOOK,
        ],
      }),
    });
    made.scrollDOM.tabIndex = 0; // it scrolls, so the keyboard must reach it
    view.current = made;
    return () => made.destroy();
  }, [original, start, names, readOnly]);
  useEffect(() => {
    const editor = view.current;
    if (editor === null) return;
    const found: Diagnostic[] = marks.map((one) => {
      const line = editor.state.doc.line(Math.min(Math.max(one.line, 1), editor.state.doc.lines));
      const from = Math.min(line.from + Math.max((one.column ?? 1) - 1, 0), line.to);
      return { from, to: Math.max(line.to, from), severity: "error", message: one.message };
    });
    editor.dispatch(setDiagnostics(editor.state, found));
  }, [marks]);
  return <div ref={box} className="overflow-hidden rounded-control border border-line" />;
}
