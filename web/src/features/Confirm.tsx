import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { ApiProblem, newKey, Unreachable } from "@/shared/api/client";
import { sessionQuery } from "@/shared/api/queries";
import { serverNow } from "@/shared/clock";
import { useLive } from "@/shared/live/store";
import { Button } from "@/shared/ui/Button";
import { Chip } from "@/shared/ui/Chip";
import { Dialog } from "@/shared/ui/Dialog";
import { TextField } from "@/shared/ui/Field";
import { useCommand } from "@/shell/confirming";
import { useScope } from "@/shell/scope";
import { confirm, type Done, freshOf, give, type Preview } from "./command";
import { StepUp } from "./StepUp";

const LOOSENING = new Set(["loosen", "live", "money"]);

/** From a preview to its confirmation: what the server says is shown as it says it, and nothing is assumed. */
export function Confirm({ preview: first, onClose }: { preview: Preview; onClose: () => void }) {
  const scope = useScope();
  const queries = useQueryClient();
  const [preview, setPreview] = useState(first);
  const [phrase, setPhrase] = useState("");
  const [reason, setReason] = useState("");
  const [proves, setProves] = useState(false);
  const [notice, setNotice] = useState("");
  const [left, setLeft] = useState(() => secondsLeft(preview));
  const key = useRef(newKey());
  const cancel = useRef<HTMLButtonElement>(null);
  const { state } = useLive(scope.live);
  useQuery(sessionQuery);

  const take = (fresh: Preview, said: string) => {
    key.current = newKey();
    setPreview(fresh);
    setPhrase("");
    setNotice(said);
    setLeft(secondsLeft(fresh));
  };
  const again = useMutation({
    mutationFn: () => give(preview.command, preview.firm_id, newKey()),
    onSuccess: (given) =>
      given.kind === "preview" && take(given.preview, "The preview was over. This is how it is now."),
  });
  const renew = again.mutate;
  useEffect(() => {
    const timer = setInterval(() => setLeft(secondsLeft(preview)), 1_000);
    return () => clearInterval(timer);
  }, [preview]);
  const over = left <= 0;
  useEffect(() => {
    if (over) renew();
  }, [over, renew]);

  const act = useMutation({
    mutationFn: () => confirm(preview, phrase, reason, key.current),
    onSuccess: () => void queries.invalidateQueries(),
    onError: (error) => {
      const fresh = freshOf(error);
      if (fresh !== null) take(fresh, `${error.message} This is how it is now.`);
      else if (error instanceof ApiProblem && error.code === "step_up") setProves(true);
    },
  });
  const loosens = LOOSENING.has(preview.klass);
  const cut = loosens && state !== "live" ? "The live channel is down: nothing that loosens can be confirmed now." : "";
  const typed = preview.confirm_phrase === "" || phrase === preview.confirm_phrase;
  const reasoned = !preview.requires_reason || reason.trim().length >= 10;
  const why = cut || preview.blocking.join(" ");

  if (act.isSuccess) return <Outcome done={act.data} preview={preview} onClose={onClose} />;
  return (
    <Dialog
      open
      onOpenChange={(open) => (open ? undefined : onClose())}
      title={preview.command.split(" ").slice(0, 2).join(" ")}
      onOpenAutoFocus={(event) => {
        event.preventDefault();
        cancel.current?.focus();
      }}
    >
      <form
        className="grid gap-4"
        onSubmit={(event) => event.preventDefault()}
        onKeyDown={(event) => event.key === "Enter" && event.preventDefault()}
      >
        <p className="flex flex-wrap items-center gap-2">
          <code className="break-all">{preview.command}</code>
          {preview.resolved_from ? <span className="text-muted">→ from {preview.resolved_from}</span> : null}
          <Chip tone={loosens ? "safety" : "plain"}>{preview.klass}</Chip>
          {preview.requires_second ? <Chip tone="warn">another person must agree</Chip> : null}
        </p>
        {notice ? (
          <p role="alert" className="rounded-control border border-warn px-2 py-1">
            {notice}
          </p>
        ) : null}
        <Section title="What changes" lines={preview.effects.length > 0 ? preview.effects : ["Nothing."]} />
        <Section title="What does not" lines={preview.unchanged} />
        <Section title="How to undo it" lines={preview.undo ? [preview.undo] : []} />
        <Section title="To know first" lines={preview.warnings} />
        {preview.diff ? <Diff text={preview.diff} /> : null}
        {why ? (
          <p role="alert" className="rounded-control border border-safety px-3 py-2">
            {why}
          </p>
        ) : null}
        {preview.confirm_phrase && !why ? (
          <TextField
            label={
              <>
                Type <strong className="text-fg">{preview.confirm_phrase}</strong>
              </>
            }
            value={phrase}
            autoComplete="off"
            spellCheck={false}
            onValue={setPhrase}
          />
        ) : null}
        {preview.requires_reason && !why ? (
          <TextField
            label="Why, for the record (ten characters at least)"
            value={reason}
            maxLength={500}
            onValue={setReason}
          />
        ) : null}
        {proves ? (
          <StepUp
            onDone={() => {
              setProves(false);
              act.reset();
            }}
          />
        ) : null}
        {act.isError && !proves && freshOf(act.error) === null ? (
          <p role="alert" className="text-warn">
            {act.error instanceof Unreachable
              ? "Unknown whether it was done: look at its state before you try again."
              : act.error.message}
          </p>
        ) : null}
        <div className="flex flex-wrap items-center justify-end gap-2">
          <span className="mr-auto text-meta text-muted">
            {over ? "The preview is over; a new one is asked for." : `This preview holds for ${left} s.`}
          </span>
          <Button ref={cancel} onClick={onClose}>
            Cancel
          </Button>
          <Button
            kind={loosens ? "safety" : "primary"}
            disabled={Boolean(why) || !typed || !reasoned || over || act.isPending || proves}
            onClick={() => act.mutate()}
          >
            {act.isPending ? "Sent, waiting for the server" : preview.requires_second ? "Ask for it" : "Do it"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function secondsLeft(preview: Preview): number {
  return Math.max(0, Math.round((new Date(preview.expires_at).getTime() - serverNow()) / 1_000));
}

export function Section({ title, lines }: { title: string; lines: readonly ReactNode[] }) {
  if (lines.length === 0) return null;
  return (
    <div>
      <h3 className="text-meta text-muted">{title}</h3>
      <ul className="list-disc pl-4">
        {lines.map((line, n) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: lines of one answer never change places
          <li key={n}>{line}</li>
        ))}
      </ul>
    </div>
  );
}

/** A unified diff: what goes and what comes, told by sign and colour. */
export function Diff({ text }: { text: string }) {
  return (
    <pre className="max-h-72 overflow-auto rounded-control border border-line bg-bg p-2 font-mono text-meta">
      {text.split("\n").map((line, n) => (
        <div
          // biome-ignore lint/suspicious/noArrayIndexKey: lines of one text never change places
          key={n}
          className={line.startsWith("+") ? "text-gain" : line.startsWith("-") ? "text-loss" : "text-muted"}
        >
          {line || " "}
        </div>
      ))}
    </pre>
  );
}

function Outcome({ done, preview, onClose }: { done: Done; preview: Preview; onClose: () => void }) {
  const asked = done.outcome === "requested";
  const back = useCommand();
  const undo = done.outcome === "executed" && preview.undo.startsWith("/") ? preview.undo : "";
  return (
    <Dialog
      open
      onOpenChange={(open) => (open ? undefined : onClose())}
      title={asked ? "Asked for" : done.outcome === "executed" ? "Done" : "Refused"}
    >
      <div role="alert" className="grid gap-3">
        <p>{done.said}</p>
        <code className="text-meta break-all text-muted">{preview.command}</code>
        {asked ? (
          <p>
            <Link
              to="/approvals/$id"
              params={{ id: done.request_id }}
              onClick={onClose}
              className="text-accent underline"
            >
              Request {done.request_id}
            </Link>{" "}
            waits for somebody else.
          </p>
        ) : null}
        {undo ? (
          <>
            <Button command={undo} disabled={back.isPending} onClick={() => back.mutate(undo)}>
              Propose to undo it
            </Button>
            <code className="text-meta break-all text-muted">{undo}</code>
          </>
        ) : null}
        {back.isError ? <p role="alert">{back.error.message}</p> : null}
        <Button onClick={onClose}>Close</Button>
      </div>
    </Dialog>
  );
}
