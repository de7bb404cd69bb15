import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, Link, useNavigate } from "@tanstack/react-router";
import { CommandButton } from "@/features/CommandButton";
import { DirectionChip, Effective, LayoutToggle, Steps, TextDiff, VERSION_TONES } from "@/features/configs";
import { TakenOver } from "@/features/LastChange";
import { searchOf, useLayout } from "@/features/layout";
import { stepsOf } from "@/features/steps";
import { TryVersion } from "@/features/whatif";
import { answered, api, newKey, type Schemas } from "@/shared/api/client";
import { approvalQuery, approvalsQuery, configDiffQuery, currentConfigQuery, versionQuery } from "@/shared/api/queries";
import { Button } from "@/shared/ui/Button";
import { Chip } from "@/shared/ui/Chip";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { useScope } from "@/shell/scope";

export const Route = createFileRoute("/_desk/configs/$version")({ validateSearch: searchOf, component: OneVersion });

const OPEN = new Set(["draft", "proposed", "approved"]);

function OneVersion() {
  const number = Number(Route.useParams().version);
  const { firm } = useScope();
  const query = useQuery(versionQuery(firm, number));
  return (
    <Page
      title={`Version ${number}`}
      aside={
        <Link to="/configs" className="inline-flex items-center text-muted hover:text-fg max-desk:h-11">
          Configuration
        </Link>
      }
    >
      <Loaded query={query} height={400}>
        {({ version, document }) => (
          <div className="grid gap-4">
            <About version={version} />
            {version.parent > 0 ? <Changes version={version} document={document} /> : null}
            {OPEN.has(version.status) ? <WhatIf version={version} /> : null}
            <Recorded number={number} />
            {document !== null ? (
              <Panel title="Document">
                <pre className="max-h-[60dvh] overflow-auto font-mono text-meta" tabIndex={0}>
                  {document}
                </pre>
              </Panel>
            ) : null}
          </div>
        )}
      </Loaded>
    </Page>
  );
}

/** Who made it, when, why, who agreed, and how far it is. */
function About({ version }: { version: Schemas["VersionOut"] }) {
  const { accounts } = useScope();
  const asked = useRequest(version);
  return (
    <Panel
      title={version.reason || (version.author === "file" ? "Written into the file by hand" : "No reason was given")}
      aside={
        <span className="flex flex-wrap items-center gap-2">
          <DirectionChip direction={version.direction} />
          <Chip tone={VERSION_TONES[version.status] ?? "unknown"}>{version.status}</Chip>
        </span>
      }
    >
      <div className="grid gap-4">
        <Steps steps={stepsOf(version, asked, accounts)} />
        <p className="text-muted">
          {version.parent > 0 ? `Written on version ${version.parent}.` : "The first version."}
          {version.effective_from && version.effective_from !== version.applied_at ? (
            <>
              {" "}
              What it loosens is in force from <Time at={version.effective_from} />.
            </>
          ) : null}{" "}
          {version.detail}
        </p>
        {version.status === "applied" || version.status === "superseded"
          ? version.accounts.map((one) => <TakenOver key={one.account} account={one.account} hash={one.after_hash} />)
          : null}
        <Acts version={version} asked={asked} />
      </div>
    </Panel>
  );
}

/** The request that put it into force; while it is a draft, the last that asks for that. */
function useRequest(version: Schemas["VersionOut"]): Schemas["ApprovalOut"] | undefined {
  const { firm } = useScope();
  const named = useQuery({ ...approvalQuery(firm, version.request_id), enabled: version.request_id !== "" });
  const all = useQuery({ ...approvalsQuery(firm), enabled: version.request_id === "" });
  const applies = new RegExp(`^/config apply .*\\bv:${version.version}(?!\\d)`);
  return named.data?.data ?? all.data?.findLast((one) => applies.test(one.command));
}

const WAITING = new Set(["requested", "given", "executing"]);

function Acts({ version, asked }: { version: Schemas["VersionOut"]; asked: Schemas["ApprovalOut"] | undefined }) {
  const { firm, account, whyNot } = useScope();
  const number = version.version;
  const current = useQuery(currentConfigQuery(firm));
  const inForce = current.data?.data.base_version;
  const lacks = whyNot(version.direction === "loosens" ? "config.loosen" : "config.tighten") || undefined;
  const over = version.accounts.find((one) => one.before_hash !== one.after_hash)?.account ?? `${firm}/${account}`;
  return (
    <div className="flex flex-wrap gap-2">
      {version.status === "draft" && asked && WAITING.has(asked.status) ? (
        <p className="text-warn">It waits for whoever has to agree.</p>
      ) : version.status === "draft" ? (
        <>
          <CommandButton
            kind="primary"
            command={`/config apply account:${over} v:${number}`}
            name={version.approvers > 1 ? "Ask for it" : "Put it in force"}
            why={lacks}
          />
          {lacks ? (
            <p className="self-center text-muted">{lacks} Somebody who may finds it under this address.</p>
          ) : null}
        </>
      ) : null}
      {version.status === "applied" && version.parent > 0 && inForce === number ? (
        <Back to={version.parent} over={over} name={`Take it back to version ${version.parent}`} />
      ) : null}
      {version.status === "superseded" ? <Back to={number} over={over} name="Go back to it" /> : null}
    </div>
  );
}

/** The way back is a version like any other: put through where nobody else has to agree, drafted where others do. */
function Back({ to, over, name }: { to: number; over: string; name: string }) {
  const { firm, accounts, whyNot } = useScope();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const current = useQuery(currentConfigQuery(firm));
  const draft = useMutation({
    mutationFn: () =>
      answered(
        api.POST("/api/v1/firms/{firm}/configs/rollback", {
          params: { path: { firm }, header: { "If-Match": current.data?.etag ?? "", "Idempotency-Key": newKey() } },
          body: { to, reason: "" },
        }),
      ),
    onSuccess: async (made) => {
      void navigate({ to: "/configs/$version", params: { version: String(made.version) } });
      await queries.invalidateQueries({ queryKey: ["configs"] });
    },
  });
  const alone = accounts?.every((one) => one.mode === "dry_run") ?? false;
  if (alone && !whyNot("config.tighten")) {
    return <CommandButton command={`/config rollback account:${over} v:${to}`} name={name} />;
  }
  return (
    <>
      <Button
        why={whyNot("config.draft") || undefined}
        disabled={draft.isPending || !current.data}
        onClick={() => draft.mutate()}
      >
        Draft going back to version {to}
      </Button>
      {draft.isError ? <p role="alert">{draft.error.message}</p> : null}
    </>
  );
}

function Changes({ version, document }: { version: Schemas["VersionOut"]; document: string | null }) {
  const { firm } = useScope();
  const { parent, version: number } = version;
  const layout = useLayout(Route.useSearch());
  const diff = useQuery(configDiffQuery(firm, parent, number));
  const before = useQuery({ ...versionQuery(firm, parent), enabled: document !== null });
  const original = before.data?.document;
  return (
    <Panel
      title={`What it changes of version ${parent}`}
      aside={document !== null ? <LayoutToggle to="/configs/$version" layout={layout} /> : null}
    >
      <Loaded query={diff} height={160}>
        {(found) => (
          <Effective diff={found}>
            {document !== null && original != null ? (
              <TextDiff
                original={original}
                text={document}
                names={{ original: `Version ${parent}`, text: `Version ${number}` }}
                layout={layout}
              />
            ) : null}
          </Effective>
        )}
      </Loaded>
    </Panel>
  );
}

function WhatIf({ version }: { version: Schemas["VersionOut"] }) {
  const { whyNot } = useScope();
  return (
    <Panel title="What if">
      <TryVersion version={version.version} why={whyNot("config.draft") || undefined} />
    </Panel>
  );
}

/** What the record holds of it, entry by entry. */
function Recorded({ number }: { number: number }) {
  const { firm, whyNot } = useScope();
  const query = useQuery({
    queryKey: ["audit", firm, "version", number],
    queryFn: () =>
      answered(
        api.GET("/api/v1/firms/{firm}/audit/entries", {
          params: { path: { firm }, query: { correlation_id: `version-${number}`, limit: 50 } },
        }),
      ),
    enabled: whyNot("audit.read") === "",
  });
  if (!query.data?.items.length) return null;
  return (
    <Panel title="In the record">
      <ul className="grid gap-1">
        {query.data.items.map((one) => (
          <li key={one.event_id} className="flex flex-wrap gap-x-3">
            <Time at={one.recorded_at} seconds />
            <span>{one.account.split("/")[1]}</span>
            <span className="text-muted">
              {one.rationale || one.event_type}, {one.actor.id}
            </span>
            <code className="text-meta break-all text-muted">
              {one.event_id}, number {one.place.seq}
            </code>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
