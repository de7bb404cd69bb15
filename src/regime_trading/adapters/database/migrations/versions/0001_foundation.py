"""Account state, latches, write-ahead audit rows, outbox, runs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NUMBERED = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables of the foundation."""
    _wal()
    _account_state()
    _latches()
    _outbox()
    _runs()


def downgrade() -> None:
    """Drop them, children first."""
    for table in ("runs", "outbox", "latches", "account_state", "wal"):
        op.drop_table(table)


def _wal() -> None:
    op.create_table(
        "wal",
        sa.Column("chain_id", sa.String(140), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("event_type", sa.String(40), nullable=False),
        sa.Column("ts_event_ns", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("prev_hash", sa.String(64), nullable=False),
        sa.Column("entry_hash", sa.String(64), nullable=False),
        sa.CheckConstraint("seq >= 1", name=op.f("ck_wal_seq_from_one")),
        sa.PrimaryKeyConstraint("chain_id", "seq", name=op.f("pk_wal")),
        comment="Write-ahead audit rows; sealed into Parquet later.",
    )


def _account_state() -> None:
    op.create_table(
        "account_state",
        sa.Column("state_no", _NUMBERED, autoincrement=True, nullable=False),
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("account", sa.String(81), nullable=False),
        sa.Column("env", sa.String(16), nullable=False),
        sa.Column("as_of_ns", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.String(40), nullable=False),
        sa.Column("decision_id", sa.String(64), nullable=False),
        sa.Column("chain_id", sa.String(140), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("entry_hash", sa.String(64), nullable=False),
        sa.Column(
            "state", sa.Text(), nullable=False, comment="AccountState without its latches, which are rows"
        ),
        sa.Column("portfolio", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("state_no", name=op.f("pk_account_state")),
        sa.UniqueConstraint("chain_id", "decision_id", name=op.f("uq_account_state_chain_id_decision_id")),
        sa.UniqueConstraint("chain_id", "seq", name=op.f("uq_account_state_chain_id_seq")),
        comment="State after each decision; the latest by as_of_ns, then state_no, is in force.",
    )
    op.create_index(
        op.f("ix_account_state_firm_id_env_account_as_of_ns_state_no"),
        "account_state",
        ["firm_id", "env", "account", "as_of_ns", "state_no"],
    )


def _latches() -> None:
    op.create_table(
        "latches",
        sa.Column("state_no", _NUMBERED, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("rule_id", sa.String(40), nullable=False),
        sa.Column("trading_state", sa.String(16), nullable=False),
        sa.Column("release", sa.String(16), nullable=False),
        sa.Column("since_ns", sa.BigInteger(), nullable=False),
        sa.Column("since_session", sa.BigInteger(), nullable=False),
        sa.Column("until_ns", sa.BigInteger()),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["state_no"],
            ["account_state.state_no"],
            name=op.f("fk_latches_state_no_account_state"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("state_no", "position", name=op.f("pk_latches")),
        comment="Latches open after a decision; those of the state in force are the open ones.",
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("chain_id", sa.String(140), nullable=False),
        sa.Column("client_order_id", sa.String(64), nullable=False),
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("account", sa.String(81), nullable=False),
        sa.Column("run_id", sa.String(40), nullable=False),
        sa.Column("decision_id", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("order_json", sa.Text(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("entry_hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "client_order_id", name=op.f("pk_outbox")),
        comment="Orders that a durable decision allows, with its receipt (chain_id, seq, entry_hash).",
    )
    op.create_index(
        op.f("ix_outbox_chain_id_decision_id_position"), "outbox", ["chain_id", "decision_id", "position"]
    )


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("run_id", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("inputs_hash", sa.String(64), nullable=False),
        sa.Column("as_of_ns", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("firm_id", "run_id", name=op.f("pk_runs")),
        comment="Runs of a firm; a run over two firms has a row for each.",
    )
    op.create_index(op.f("ix_runs_firm_id_as_of_ns"), "runs", ["firm_id", "as_of_ns"])
