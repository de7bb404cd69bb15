import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { CommandButton, DirectionChip, Effective, VERSION_TONES } from "@/features/configs";
import { TakenOver } from "@/features/LastChange";
import { configDiffQuery, versionQuery } from "@/shared/api/queries";
import { Chip } from "@/shared/ui/Chip";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { useScope } from "@/shell/scope";

export const Route = createFileRoute("/_desk/configs/$version")({ component: OneVersion });

const BACK = new Set(["applied", "superseded"]);

function OneVersion() {
  const number = Number(Route.useParams().version);
  const { firm, account, whyNot } = useScope();
  const query = useQuery(versionQuery(firm, number));
  const parent = query.data?.version.parent ?? 0;
  const diff = useQuery({ ...configDiffQuery(firm, parent, number), enabled: parent > 0 });
  return (
    <Page
      title={`Version ${number}`}
      aside={
        <Link to="/configs" className="text-muted hover:text-fg">
          Configuration
        </Link>
      }
    >
      <Loaded query={query} height={400}>
        {({ version, document }) => (
          <div className="grid gap-4">
            <Panel
              title={version.reason || "Written into the file by hand"}
              aside={
                <span className="flex flex-wrap items-center gap-2">
                  <DirectionChip direction={version.direction} />
                  <Chip tone={VERSION_TONES[version.status] ?? "unknown"}>{version.status}</Chip>
                </span>
              }
            >
              <div className="grid gap-3">
                <p className="text-muted">
                  By {version.author}, <Time at={version.created_at} />, on version {version.parent}.
                  {version.applied_at ? (
                    <>
                      {" "}
                      Applied <Time at={version.applied_at} />.
                    </>
                  ) : null}
                  {version.effective_from ? (
                    <>
                      {" "}
                      What it loosens is in force from <Time at={version.effective_from} />.
                    </>
                  ) : null}{" "}
                  {version.detail}
                </p>
                {BACK.has(version.status)
                  ? version.accounts.map((one) => (
                      <TakenOver key={one.account} account={one.account} hash={one.after_hash} />
                    ))
                  : null}
                {version.request_id ? (
                  <p>
                    <Link to="/approvals/$id" params={{ id: version.request_id }} className="text-accent underline">
                      Request {version.request_id}
                    </Link>
                  </p>
                ) : null}
                <div className="flex flex-wrap gap-2">
                  {version.status === "draft" ? (
                    <CommandButton
                      kind="primary"
                      command={`/config apply v:${number}`}
                      name={version.approvers > 1 ? "Ask for it" : "Put it in force"}
                      why={whyNot(version.direction === "loosens" ? "config.loosen" : "config.tighten") || undefined}
                    />
                  ) : null}
                  {BACK.has(version.status) ? (
                    <CommandButton
                      command={`/config rollback account:${firm}/${account} v:${number}`}
                      name="Go back to it"
                      why={whyNot("config.draft") || undefined}
                    />
                  ) : null}
                </div>
              </div>
            </Panel>
            {parent > 0 ? (
              <Panel title={`What it changes of version ${parent}`}>
                <Loaded query={diff} height={160}>
                  {(found) => <Effective diff={found} />}
                </Loaded>
              </Panel>
            ) : null}
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
