import { useMutation, useQueryClient } from "@tanstack/react-query";
import { OctagonX } from "lucide-react";
import { type ReactNode, useCallback, useEffect, useMemo, useState } from "react";
import { ApiProblem, answered, api, newKey, type Schemas, Unreachable } from "@/shared/api/client";
import { useLive } from "@/shared/live/store";
import { Button } from "@/shared/ui/Button";
import { cx } from "@/shared/ui/cx";
import { Dialog } from "@/shared/ui/Dialog";
import { SelectField, TextField } from "@/shared/ui/Field";
import { HaltContext } from "./halt-inside";
import { useScope } from "./scope";

type Level = "K1" | "K2" | "K3";
const LEVELS: [Level, string, string][] = [
  ["K1", "Pause", "Nothing that adds risk leaves; waiting entries are cancelled. Positions stay."],
  ["K2", "Cancel", "As pause, and every working entry is cancelled."],
  ["K3", "Flatten", "As cancel, and everything is sold; the account is locked."],
];

/** Gives everything below it a way to a halt: one dialog, one confirm, no second person. */
export function HaltProvider({ children }: { children: ReactNode }) {
  const scope = useScope();
  const [asked, setAsked] = useState<{ account: string | undefined } | null>(null);
  const ask = useCallback((account?: string) => setAsked({ account: account ?? scope.account }), [scope.account]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "." || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      event.stopPropagation();
      ask();
    };
    window.addEventListener("keydown", onKey, { capture: true });
    return () => window.removeEventListener("keydown", onKey, { capture: true });
  }, [ask]);
  useEffect(() => {
    if (new URLSearchParams(location.search).has("halt")) ask();
  }, [ask]);
  return (
    <HaltContext.Provider value={ask}>
      {children}
      {asked ? <HaltDialog account={asked.account} onClose={() => setAsked(null)} /> : null}
    </HaltContext.Provider>
  );
}

export function HaltButton({ onClick }: { onClick: () => void }) {
  return (
    <button
      type="button"
      onClick={onClick}
      aria-keyshortcuts="Control+. Meta+."
      style={{ zIndex: "var(--z-halt)", pointerEvents: "auto" }}
      className="relative inline-flex h-8 shrink-0 items-center gap-1.5 rounded-control border border-safety bg-bg px-3 font-semibold text-safety hover:bg-safety hover:text-on-safety max-desk:h-11 max-desk:min-w-11"
    >
      <OctagonX size={16} aria-hidden /> Halt
    </button>
  );
}

function HaltDialog({ account, onClose }: { account: string | undefined; onClose: () => void }) {
  const scope = useScope();
  const queries = useQueryClient();
  const state = useLive(scope.live, (told) => told.state);
  const [where, setWhere] = useState(account ?? "");
  const [level, setLevel] = useState<Level>("K1");
  const [reason, setReason] = useState("");
  // the same for every attempt at this very halt: another account, level or reason is another act
  // biome-ignore lint/correctness/useExhaustiveDependencies: they are what it is a key of
  const key = useMemo(newKey, [where, level, reason]);
  const name = where === "" ? `every account of ${scope.firm}` : `${scope.firm}/${where}`;
  const permission = where === "" ? "firm.halt" : level === "K1" ? "halt.pause" : "halt.flatten";
  const why = scope.whyNot(permission, where === "" ? undefined : where);
  const halt = useMutation({
    mutationFn: (): Promise<Schemas["HaltedOut"]> => {
      const body = { level, reason: reason.trim() || "halted from the command center" };
      const header = { "Idempotency-Key": key };
      return where === ""
        ? answered(api.POST("/api/v1/firms/{firm}/halt", { params: { path: { firm: scope.firm }, header }, body }))
        : answered(
            api.POST("/api/v1/firms/{firm}/accounts/{account}/halt", {
              params: { path: { firm: scope.firm, account: where }, header },
              body,
            }),
          );
    },
    onSettled: () => void queries.invalidateQueries(),
  });
  const verb = LEVELS.find(([one]) => one === level)?.[1] ?? "Pause";
  return (
    <Dialog open onOpenChange={(open) => (open ? undefined : onClose())} title="Halt" withoutHalt>
      {halt.isSuccess ? (
        <div role="alert" className="grid gap-3">
          <p>
            <strong className="text-safety">{halt.data.level} is in force</strong> over {halt.data.scope}.{" "}
            {halt.data.detail}
          </p>
          {halt.data.control_no !== null ? (
            <p className="text-muted">Halt number {halt.data.control_no}. The engine obeys at its next decision.</p>
          ) : null}
          <Button onClick={onClose}>Close</Button>
        </div>
      ) : (
        <form
          className="grid gap-4"
          onSubmit={(event) => {
            event.preventDefault();
            if (!why) halt.mutate();
          }}
        >
          <SelectField
            label="What"
            value={where}
            onValue={setWhere}
            of={[
              ...scope.ids.map((one) => [one, `${scope.firm}/${one}`] as const),
              ["", `Every account of ${scope.firm}`],
            ]}
          />
          <fieldset className="grid gap-2">
            <legend className="mb-1 text-meta text-muted">How far</legend>
            {LEVELS.map(([one, title, said]) => (
              <label
                key={one}
                className={cx(
                  "flex cursor-pointer gap-3 rounded-control border px-3 py-2",
                  level === one ? "border-safety" : "border-line",
                )}
              >
                <input
                  type="radio"
                  name="level"
                  checked={level === one}
                  onChange={() => setLevel(one)}
                  className="mt-1 accent-(--safety)"
                />
                <span>
                  <span className="font-semibold">
                    {title} <span className="text-muted">{one}</span>
                  </span>
                  <br />
                  <span className="text-muted">{said}</span>
                </span>
              </label>
            ))}
          </fieldset>
          <TextField label="Why (it may stay empty)" value={reason} maxLength={500} onValue={setReason} />
          <p className="text-muted">
            One confirm, no second person. Ending it takes a preview, the account's name, and outside of a dry run
            another person.
          </p>
          {halt.isError ? <HaltFailed error={halt.error} firm={scope.firm} account={where} level={level} /> : null}
          {!halt.isError && state === "offline" ? (
            <HaltFailed error={new Unreachable()} firm={scope.firm} account={where} level={level} />
          ) : null}
          {why ? <p className="text-warn">{why}</p> : null}
          <div className="flex flex-wrap justify-end gap-2">
            <Button onClick={onClose}>Cancel</Button>
            <Button kind="safety" type="submit" disabled={halt.isPending || Boolean(why)} className="border-2">
              {halt.isPending ? "Sent, waiting for the server" : `${verb} ${name}`}
            </Button>
          </div>
          <code className="text-meta text-muted">
            {where === "" ? `/halt firm firm:${scope.firm}` : `/halt account account:${scope.firm}/${where}`} level:
            {level}
          </code>
        </form>
      )}
    </Dialog>
  );
}

/** A halt that was not taken is said loudly, with the way that needs no server. */
function HaltFailed(props: { error: Error; firm: string; account: string; level: Level }) {
  const { error, firm, account, level } = props;
  const name = account === "" ? `firm ${firm}` : `account ${firm}/${account}`;
  return (
    <div role="alert" className="rounded-control border-2 border-safety px-3 py-2">
      <p className="font-semibold">
        {error instanceof ApiProblem ? "Not halted: " : "Not known whether it is halted: "}
        {error.message}
      </p>
      <p>
        On the machine that trades: <code>{`regime halt ${name} --level ${level} --reason "…"`}</code>. Or call whoever
        can.
      </p>
    </div>
  );
}
