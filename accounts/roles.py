"""The one table of what each role may do."""

from accounts.models import Role

MAY = {
    Role.REQUESTER: "Opens and follows own tickets",
    Role.AGENT: "Answers tickets in every queue",
    Role.ADMIN: "Everything, including e-mail and people",
}
