from django.urls import path

from ticketing import api_events, api_orders, api_queue, api_refunds, api_rush, api_tickets

urlpatterns = [
    path("events", api_events.EventsView.as_view(), name="api-events"),
    path("events/<slug:slug>", api_events.EventView.as_view(), name="api-event"),
    path("shows/<slug:code>", api_events.ShowView.as_view(), name="api-show"),
    path("shows/<slug:code>/queue", api_queue.QueueView.as_view(), name="api-queue"),
    path("shows/<slug:code>/availability", api_events.AvailabilityView.as_view(), name="api-availability"),
    path(
        "shows/<slug:code>/sections/<str:section>/seats", api_events.SeatPlanView.as_view(), name="api-seats"
    ),
    path("shows/<slug:code>/refund-rule", api_refunds.RefundRuleView.as_view(), name="api-refund-rule"),
    path("orders", api_orders.OrdersView.as_view(), name="api-orders"),
    path("orders/<slug:number>", api_orders.OrderView.as_view(), name="api-order"),
    path("orders/<slug:number>/cancel", api_orders.CancelView.as_view(), name="api-order-cancel"),
    path(
        "orders/<slug:number>/refund-requests",
        api_refunds.RefundRequestsView.as_view(),
        name="api-order-refunds",
    ),
    path(
        "orders/<slug:number>/refunds/<slug:refund>/to-wallet",
        api_refunds.ToWalletView.as_view(),
        name="api-refund-to-wallet",
    ),
    path("orders/<slug:number>/timeline", api_orders.TimelineView.as_view(), name="api-order-timeline"),
    path(
        "orders/<slug:number>/payment-token",
        api_orders.OrderPaymentTokenView.as_view(),
        name="api-order-payment-token",
    ),
    path("rush/orders", api_rush.RushOrdersView.as_view(), name="api-rush-orders"),
    path("rush/orders/<str:receipt>", api_rush.RushOrderView.as_view(), name="api-rush-order"),
    path("rush/orders/<str:receipt>/payment", api_rush.RushPaymentView.as_view(), name="api-rush-payment"),
    path("tickets", api_tickets.TicketsView.as_view(), name="api-tickets"),
    path("tickets/<slug:number>", api_tickets.TicketView.as_view(), name="api-ticket"),
    path("ticket-key", api_tickets.TicketKeyView.as_view(), name="api-ticket-key"),
]
