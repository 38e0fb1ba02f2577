"""What a pickle would import, said without executing it.

walking     opcode by opcode over a joblib pickle, and over the arrays between them
allowed     which globals a model may have
report      both together: `audit(content)`
"""

from skdeploy.audit.report import Finding, Report, audit, require_audited

__all__ = ["Finding", "Report", "audit", "require_audited"]
