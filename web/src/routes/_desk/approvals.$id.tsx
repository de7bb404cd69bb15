import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { useRef, useState } from "react";
import { Diff, Section } from "@/features/Confirm";
import { StepUp } from "@/features/StepUp";
import { ApiProblem, answered, api, newKey, type Schemas, Unreachable } from "@/shared/api/client";
import { approvalQuery } from "@/shared/api/queries";
import { useLive } from "@/shared/live/store";
import { Button } from "@/shared/ui/Button";
import { Chip } from "@/shared/ui/Chip";
import { TextField } from "@/shared/ui/Field";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { useScope } from "@/shell/scope";
import { STATUS_TONES } from "./approvals.index";

export const Route = createFileRoute("/_desk/approvals/$id")({ component: OneApproval });

function OneApproval() {
  const { id } = Route.useParams();
  const { firm } = useScope();
  const query = useQuery(approvalQuery(firm, id));
  return (
    <Page
      title="Request"
      aside={
        <Link to="/approvals" className="text-muted hover:text-fg">
          All requests
        </Link>
      }
    >
      <Loaded query={query} height={400}>
        {({ data, etag }) => (
          <div className="grid gap-4 desk:grid-cols-[minmax(0,2fr)_minmax(0,1fr)]">
            <Panel
              title={`${data.kind} for ${data.account || data.firm_id}`}
              aside={<Chip tone={STATUS_TONES[data.status] ?? "unknown"}>{data.status}</Chip>}
            >
              <What asked={data} />
            </Panel>
            <div className="grid content-start gap-4">
              <Panel title="Who and when">
                <p>
                  {data.maker} asked <Time at={data.created_at} />: {data.reason}
                </p>
                <p className="text-muted">
                  It stands until <Time at={data.expires_at} />. {data.given} of {data.required} agreed.
                </p>
                <ul>
                  {data.votes.map((one) => (
                    <li key={one.actor}>
                      {one.actor} {one.agrees ? "agreed" : "refused"} <Time at={one.at} />
                      {one.reason ? `: ${one.reason}` : ""}
                    </li>
                  ))}
                </ul>
                {data.why ? <p>{data.why}</p> : null}
              </Panel>
              {data.status === "requested" ? <Answer asked={data} etag={etag} /> : null}
            </div>
          </div>
        )}
      </Loaded>
    </Page>
  );
}

const MARKS: Record<string, [string, string]> = {
  same: ["", ""],
  new: ["new since it was asked for", "text-warn"],
  gone: ["no longer", "text-warn line-through"],
};

/** The same words the maker saw, beside what it would do now. */
function What({ asked }: { asked: Schemas["ApprovalNowOut"] }) {
  const now = asked.now;
  const lines = now
    ? now.effects.map((one) => {
        const [said, tone] = MARKS[one.mark] ?? ["", ""];
        return (
          <span key={one.text}>
            <span className={tone}>{one.text}</span> {said ? <Chip tone="warn">{said}</Chip> : null}
          </span>
        );
      })
    : asked.effects;
  return (
    <div className="grid gap-3">
      <code className="break-all">{asked.command}</code>
      {now?.changed ? (
        <p role="alert" className="rounded-control border border-warn px-3 py-2">
          {now.changed}. Whoever agrees now finds it void.
        </p>
      ) : null}
      <Section title={now ? "What it does, as it is now" : "What it was to do"} lines={lines} />
      {now ? <Section title="What does not change" lines={now.unchanged} /> : null}
      {now?.undo ? <Section title="How to undo it" lines={[now.undo]} /> : null}
      {now ? <Section title="To know first" lines={now.warnings} /> : null}
      {(now?.diff ?? asked.diff) ? <Diff text={now?.diff ?? asked.diff} /> : null}
      <details>
        <summary className="cursor-pointer text-muted">As it was shown to who asked</summary>
        <pre className="mt-2 font-sans whitespace-pre-wrap">{asked.summary_md}</pre>
      </details>
    </div>
  );
}

function Answer({ asked, etag }: { asked: Schemas["ApprovalNowOut"]; etag: string }) {
  const { firm, live } = useScope();
  const queries = useQueryClient();
  const { state } = useLive(live);
  const [phrase, setPhrase] = useState("");
  const [reason, setReason] = useState("");
  const [proves, setProves] = useState(false);
  const key = useRef(newKey());
  const at = {
    params: {
      path: { firm, request_id: asked.request_id },
      header: { "If-Match": etag, "Idempotency-Key": key.current },
    },
  };
  const settled = () => {
    key.current = newKey();
    void queries.invalidateQueries();
  };
  const approve = useMutation({
    mutationFn: () =>
      answered(
        api.POST("/api/v1/firms/{firm}/approvals/{request_id}/approve", {
          ...at,
          body: { phrase, reason: reason.trim() },
        }),
      ),
    onSettled: settled,
    onError: (error) => setProves(error instanceof ApiProblem && error.code === "step_up"),
  });
  const reject = useMutation({
    mutationFn: () =>
      answered(
        api.POST("/api/v1/firms/{firm}/approvals/{request_id}/reject", { ...at, body: { reason: reason.trim() } }),
      ),
    onSettled: settled,
  });
  const why = asked.why_not || (state === "live" ? "" : "The live channel is down: nothing can be agreed to now.");
  const error = approve.error ?? reject.error;
  return (
    <Panel title="Your answer">
      <div className="grid gap-3">
        {why ? <p className="text-warn">{why}</p> : null}
        <TextField
          label="Why (ten characters at least to refuse)"
          value={reason}
          maxLength={500}
          disabled={Boolean(asked.why_not)}
          onValue={setReason}
        />
        <TextField
          label={
            <>
              To agree, type <strong className="text-fg">{asked.phrase}</strong>
            </>
          }
          value={phrase}
          autoComplete="off"
          spellCheck={false}
          disabled={Boolean(why)}
          onValue={setPhrase}
        />
        {proves ? (
          <StepUp
            onDone={() => {
              setProves(false);
              approve.reset();
            }}
          />
        ) : null}
        {error && !proves ? (
          <p role="alert" className="text-warn">
            {error instanceof Unreachable ? "Unknown whether it was taken: look at its state." : error.message}
          </p>
        ) : null}
        <div className="flex flex-wrap justify-end gap-2">
          <Button
            disabled={Boolean(asked.why_not) || reason.trim().length < 10 || reject.isPending}
            command={`/reject proposal id:${asked.request_id}`}
            onClick={() => reject.mutate()}
          >
            Refuse
          </Button>
          <Button
            kind="primary"
            disabled={Boolean(why) || phrase !== asked.phrase || approve.isPending || proves}
            command={`/approve proposal id:${asked.request_id}`}
            onClick={() => approve.mutate()}
          >
            {approve.isPending ? "Sent, waiting for the server" : "Agree"}
          </Button>
        </div>
      </div>
    </Panel>
  );
}
